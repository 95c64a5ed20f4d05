"""The file of one benchmark result, `result.json`: what it must hold to be taken over, and its one reader."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeFloat, NonNegativeInt

from acdc.files import read_json, validated

__all__ = ["load_result"]

Share = FiniteFloat | None


class _Schema(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Agreement(_Schema):
    n_edges: NonNegativeInt
    precision: Share
    recall: Share
    n_nodes: NonNegativeInt
    node_precision: Share
    node_recall: Share


class _Question(_Schema):
    model: str
    task: str
    known_by: str
    reference: str | None
    method: str
    metric: str
    n_prompts: NonNegativeInt
    seed: NonNegativeInt
    signed: bool
    n_edges: NonNegativeInt
    n_true: NonNegativeInt


class _Failed(_Question):
    error: str


class _Measured(_Question):
    auc: Share
    own: _Agreement
    at_true_size: _Agreement
    cost: dict[str, FiniteFloat]
    ranking_cost: dict[str, FiniteFloat]
    seconds: NonNegativeFloat
    ranking_seconds: NonNegativeFloat


class _Result(_Schema):
    fingerprint: str
    row: dict[str, Any]


def load_result(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The row that is kept in a file; None where it is of another fingerprint.

    Raises:
        FileError: The file can't be read, or holds no result of a benchmark.
    """
    what = f"{path} is no result of a benchmark, or a damaged one"
    found = validated(_Result, read_json(path), what=what)
    validated(_Failed if "error" in found.row else _Measured, found.row, what=what)
    return found.row if found.fingerprint == fingerprint else None
