"""The evaluation on a page: its parts in their own words."""

from collections.abc import Iterator
from dataclasses import dataclass

from acdc.evaluation.parts import PARTS
from acdc.report.findings import Findings
from acdc.report.text import visible

__all__ = ["Evidence", "evidence"]


@dataclass(frozen=True)
class Evidence:
    """A part: its name, what it says in a line, its findings, and why it was left out if it was."""

    name: str
    summary: str
    lines: tuple[tuple[str, str], ...]
    left_out: str = ""


def evidence(findings: Findings) -> Iterator[Evidence]:
    """The parts of the evaluation, in its order."""
    for name, values in (findings.evaluation or {"parts": {}})["parts"].items():
        part, about = findings.parts.get(name), PARTS[name].summary
        if part is None:
            yield Evidence(name, about, (), visible(values["left_out"]))
        else:
            yield Evidence(name, about, tuple((visible(head), visible(text)) for head, text in part.lines()))
