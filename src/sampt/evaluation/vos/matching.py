"""Which found object belongs to which true one: the best matching of rows with columns, one to one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sampt.errors import EvaluationError

__all__ = ["best_matching"]


def best_matching(values: npt.NDArray[np.float64]) -> list[int]:
    """The column of each row of (n, m) finite values, n <= m, no column twice, so that the sum of the values is largest.

    The Hungarian method in its form by shortest augmenting paths, O(n^2 m): rows join one by one, each along the path that
    lowers the sum the least. Potentials keep the reduced costs from falling below 0.

    Raises:
        EvaluationError: there are fewer columns than rows, or a value is not finite.
    """
    num_rows, num_columns = values.shape
    if num_rows > num_columns or not np.isfinite(values).all():
        raise EvaluationError(f"Values of shape {values.shape} cannot be matched; expected (n, m) finite ones with n <= m.")
    costs = -np.asarray(values, np.float64)
    of_row, of_column = np.zeros(num_rows), np.zeros(num_columns)
    row_of = np.full(num_columns, num_rows, np.intp)  # num_rows: the column is free
    for new in range(num_rows):
        distance, came_from = np.full(num_columns, np.inf), np.full(num_columns, num_columns, np.intp)
        is_done = np.zeros(num_columns, np.bool_)
        row, reached, column = new, 0.0, num_columns
        while row < num_rows:
            through = reached + costs[row] - of_row[row] - of_column
            is_nearer = ~is_done & (through < distance)
            distance[is_nearer], came_from[is_nearer] = through[is_nearer], column
            column = int(np.argmin(np.where(is_done, np.inf, distance)))
            reached, is_done[column], row = float(distance[column]), True, int(row_of[column])
        slack = np.where(is_done, reached - distance, 0.0)
        of_row[new] += reached
        taken = is_done & (row_of < num_rows)
        of_row[row_of[taken]] += slack[taken]
        of_column -= slack
        while column < num_columns:
            before = int(came_from[column])
            row_of[column] = row_of[before] if before < num_columns else new
            column = before
    found = {int(row): column for column, row in enumerate(row_of) if row < num_rows}
    return [found[row] for row in range(num_rows)]
