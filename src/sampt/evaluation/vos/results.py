"""The scores of a dataset as values, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from sampt.errors import EvaluationError
from sampt.evaluation.vos.jf import Statistics
from sampt.evaluation.vos.protocols import GroupScore, ObjectScore, bdd_groups, g_measure, lvos_variation, seen_unseen
from sampt.files.names import markdown_cell

__all__ = ["Scores", "SequenceScore"]

_GROUP_PROTOCOLS = ("youtube-vos", "lvos")
"""Their figure is a mean over groups."""


@dataclass(frozen=True)
class SequenceScore:
    """The scores of the objects of one sequence, at least one."""

    name: str
    objects: tuple[ObjectScore, ...]

    @property
    def j(self) -> Statistics:
        """Means over the objects."""
        return _mean([score.j for score in self.objects])

    @property
    def f(self) -> Statistics:
        """Means over the objects."""
        return _mean([score.f for score in self.objects])

    @property
    def j_and_f(self) -> float:
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True)
class Scores:
    """The scores of a dataset's sequences, at least one.

    Attributes:
        sequences: those that have a scored frame.
        dataset: its name and split, empty for none.
        protocol: name of a rule of :mod:`sampt.evaluation.vos.protocols`.
        left_out: (sequence, object id) of the objects that have no scored frame.
    """

    sequences: tuple[SequenceScore, ...]
    dataset: str = ""
    protocol: str = "davis-2017"
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def names(self) -> list[str]:
        """Of the sequences, and of their folders in predictions."""
        return [sequence.name for sequence in self.sequences]

    @property
    def total(self) -> SequenceScore:
        """All objects of all sequences together."""
        return SequenceScore("total", tuple(score for sequence in self.sequences for score in sequence.objects))

    @property
    def groups(self) -> dict[str, GroupScore]:
        """The protocol's groups of objects by name: seen and unseen, or by visible length; empty where it has none."""
        if self.protocol == "bdd100k":
            return bdd_groups(self.total.objects)
        return seen_unseen(self.total.objects) if self.protocol in _GROUP_PROTOCOLS else {}

    @property
    def overall(self) -> float:
        """The protocol's one figure: G where objects are seen or unseen, else J&F over all objects."""
        groups = self.groups
        return g_measure(groups) if groups and self.protocol in _GROUP_PROTOCOLS else self.total.j_and_f

    @property
    def variation(self) -> float | None:
        """V of LVOS, averaged as its J; None for other protocols."""
        if self.protocol != "lvos":
            return None
        by_group: dict[str | None, list[float]] = {}
        for item in self.total.objects:
            by_group.setdefault(item.group, []).append(lvos_variation(item.j_frames, item.f_frames))
        return sum(sum(values) / len(values) for values in by_group.values()) / len(by_group)

    def to_markdown(self) -> str:
        """A table with a row for each sequence, for each object where a sequence has several, and for the total.

        Below it come the protocol's groups and figure, and what was left out, where there is any.
        """
        lines = [
            "| sequence | J&F | J mean | J recall | J decay | F mean | F recall | F decay |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for sequence in self.sequences:
            lines.append(_row(sequence))
            if len(sequence.objects) > 1:
                lines += [_row(SequenceScore(f"{sequence.name} #{one.object_id}", (one,))) for one in sequence.objects]
        return "\n".join([*lines, _row(self.total), *self._group_lines(), *self._left_out_lines()])

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON, with J and F of every frame."""
        return {
            "dataset": self.dataset,
            "protocol": self.protocol,
            "overall": self.overall,
            "variation": self.variation,
            "groups": {name: asdict(group) | {"j_and_f": group.j_and_f} for name, group in self.groups.items()},
            "left_out": [[name, object_id] for name, object_id in self.left_out],
            "total": _plain(self.total),
            "sequences": {
                sequence.name: {**_plain(sequence), "objects": {str(one.object_id): asdict(one) for one in sequence.objects}}
                for sequence in self.sequences
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scores:
        """What :meth:`to_dict` reported, also after a way through JSON.

        Raises:
            EvaluationError: it is not of that kind.
        """
        try:
            sequences = tuple(
                SequenceScore(name, tuple(_parse_object(one) for one in sequence["objects"].values()))
                for name, sequence in values["sequences"].items()
            )
            left_out = tuple((str(name), int(object_id)) for name, object_id in values["left_out"])
            if not sequences or not all(sequence.objects for sequence in sequences):
                raise ValueError("a sequence or an object is missing")
            return cls(sequences, str(values["dataset"]), str(values["protocol"]), left_out)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EvaluationError(
                f"These are no scores: {type(error).__name__} {error}; expected what `sampt eval score` wrote."
            ) from None

    def _group_lines(self) -> list[str]:
        groups = self.groups
        if not groups:
            return []
        lines = ["", "| group | objects | J&F | J mean | F mean |", "|---|---|---|---|---|"]
        for name, group in groups.items():
            lines.append(f"| {name} | {group.num_objects} | {group.j_and_f:.3f} | {group.j:.3f} | {group.f:.3f} |")
        if self.protocol in _GROUP_PROTOCOLS:
            lines += ["", f"G (mean over groups): {self.overall:.3f}"]
        if self.variation is not None:
            lines += ["", f"V: {self.variation:.3f}"]
        return lines

    def _left_out_lines(self) -> list[str]:
        if not self.left_out:
            return []
        named = ", ".join(f"{name} #{object_id}" for name, object_id in self.left_out)
        return ["", f"Left out, since no frame of them is scored: {named}"]


def _parse_object(values: Mapping[str, Any]) -> ObjectScore:
    plain = {"found_id": None, **values}  # scores of before objects could be found name none
    plain = {item.name: plain[item.name] for item in fields(ObjectScore)}
    for name, kind in (("frames", int), ("j_frames", float), ("f_frames", float), ("visible", bool)):
        plain[name] = tuple(map(kind, plain[name]))
        if len(plain[name]) != len(plain["frames"]):
            raise ValueError(f"{len(plain[name])} {name} for {len(plain['frames'])} frames")
    return ObjectScore(**plain | {name: Statistics(**{k: float(v) for k, v in plain[name].items()}) for name in ("j", "f")})


def _mean(parts: Sequence[Statistics]) -> Statistics:
    return Statistics(*(sum(getattr(part, item.name) for part in parts) / len(parts) for item in fields(Statistics)))


def _row(score: SequenceScore) -> str:
    values = [score.j_and_f, *asdict(score.j).values(), *asdict(score.f).values()]
    return f"| {markdown_cell(score.name)} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def _plain(score: SequenceScore) -> dict[str, Any]:
    return {"j_and_f": score.j_and_f, "j": asdict(score.j), "f": asdict(score.f)}
