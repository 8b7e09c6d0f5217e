"""What scores become for people: one HTML page that needs no other file, and a Markdown table."""

from sampt.evaluation.reports.write import write_report

__all__ = ["write_report"]
