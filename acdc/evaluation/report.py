"""The file of an evaluation, `evaluation.json`: what it must hold to be read back, and its one reader."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat

from acdc.errors import FileError
from acdc.evaluation.part import Part
from acdc.evaluation.parts import PARTS
from acdc.files import as_dataclass, read_json, validated

__all__ = ["load_report", "part_of"]


class _Schema(BaseModel):
    """What is read of a value; more may stand there."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Took(_Schema):
    seconds: FiniteFloat


class _LeftOut(_Took):
    left_out: str


class _Circuit(_Schema):
    n_edges: int
    n_edges_of_model: int
    n_nodes: int


class _Model(_Schema):
    name: str


class _Prompts(_Schema):
    text: str


class _Settings(_Schema):
    seed: int


class _Report(_Schema):
    fingerprint: str
    circuit: _Circuit
    task: str
    model: _Model
    prompts: _Prompts
    settings: _Settings
    warnings: list[str]
    parts: dict[str, dict[str, Any]]


def load_report(path: Path) -> dict[str, Any]:
    """The report of an evaluation, checked: whatever words, tables and figures are made of is there.

    Raises:
        FileError: The file can't be read, or isn't such a report.
    """
    report = read_json(path)
    what = f"{path} is not the report of an evaluation, or is damaged"
    for name, part in validated(_Report, report, what=what).parts.items():
        if name not in PARTS:
            raise FileError(f"{what}: there is no part {name[:40]!r}")
        validated(_LeftOut if "left_out" in part else _Took, part, what=f"{what}: {name}")
        part_of(name, part, what=what)
    return dict(report)


def part_of(name: str, values: Mapping[str, Any], *, what: str = "the evaluation is damaged") -> Part | None:
    """A part from what a report holds of it; None if it was left out.

    Raises:
        FileError: The values aren't such a part's; the message begins with `what`.
    """
    if "left_out" in values:
        return None
    return as_dataclass(PARTS[name], values, what=f"{what}: {name}")
