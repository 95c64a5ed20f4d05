"""A row of a benchmark: one method on one known circuit. Its fields are also what `result.json` must hold to be taken
over."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt

from acdc.benchmarking.recovery import Agreement
from acdc.files import as_dataclass, read_json

__all__ = ["Failed", "Measured", "Question", "load_result"]


class _Strict:
    """Files are read strictly: nothing of another type, nothing more."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Question(_Strict):
    """What was asked.

    Attributes:
        known_by: How the circuit is known: see `Known`.
        reference: The name of the published circuit; None where the circuit is that of a bundled model.
        method: The method, with the options that aren't its defaults.
        metric: In which it searched.
        signed: Whether edges rank by score, not by its size.
        positions: By what edges were split: see `acdc.prompts.positions`.
        direction: In which was searched: see `acdc.patching.direction`.
        n_edges, n_true: Edges of the model, and of the known circuit.
    """

    model: str
    task: str
    known_by: str
    reference: str | None
    method: str
    metric: str
    n_prompts: NonNegativeInt
    seed: NonNegativeInt
    signed: bool
    positions: str
    direction: str
    n_edges: NonNegativeInt
    n_true: NonNegativeInt


@dataclass(frozen=True)
class Failed(Question):
    """A method that can't work on this problem, and why."""

    error: str


@dataclass(frozen=True)
class Measured(Question):
    """How a method did.

    Attributes:
        auc: Of the ranking: see `acdc.circuits.recovery.roc_auc`.
        own: The circuit that the method chooses by its defaults, beside the known one.
        at_true_size: Its highest-ranking edges, as many as the known circuit has.
        cost, seconds: What the circuit took; `ranking_cost`, `ranking_seconds`: what the ranking took besides.
    """

    auc: float | None
    own: Agreement
    at_true_size: Agreement
    cost: Mapping[str, int | float]
    ranking_cost: Mapping[str, int | float]
    seconds: NonNegativeFloat
    ranking_seconds: NonNegativeFloat


@dataclass(frozen=True)
class _Result(_Strict):
    fingerprint: str
    row: dict[str, Any]


def load_result(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The row that is kept in a file; None where it is of another fingerprint.

    Raises:
        FileError: The file can't be read, or holds no result of a benchmark.
    """
    what = f"{path} is not the result of a benchmark, or is damaged"
    found = as_dataclass(_Result, read_json(path), what=what)
    if found.fingerprint != fingerprint:
        return None
    as_dataclass(Failed if "error" in found.row else Measured, found.row, what=what)
    return found.row
