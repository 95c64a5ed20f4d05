"""What a file format of circuits is: how it is told from others, read and written, and what it can't carry."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from acdc import files
from acdc.circuits.circuit import Circuit
from acdc.circuits.file import MAX_JSON_BYTES, cfg_of, graph_of_cfg, settled
from acdc.circuits.graph import Graph
from acdc.circuits.score_kinds import check_score_kind
from acdc.errors import CircuitError, FileError

__all__ = [
    "SHAPELESS",
    "Format",
    "Listed",
    "ShapelessError",
    "from_header",
    "graph_of",
    "header_of",
    "measured",
    "parse_json",
]


class ShapelessError(CircuitError):
    """A file of circuits doesn't say the model's shape, so that it can't be read without a graph."""


SHAPELESS = "doesn't say the model's shape; give a circuit or a run of the same model (graph=, --graph)"


@dataclass(frozen=True)
class Format:
    """A file format of circuits.

    Attributes:
        name: What `--to` and `--from` call it.
        summary: Whose it is and what it holds.
        suffix: How its files' names end; the longest suffix that fits decides.
        carries: What of a circuit it can hold, for people.
        recognises: Whether a file's content is of this format.
        read: The circuit of a file's content. The graph, if given, is the one that the circuit must belong to, and
            tells the shape where the file doesn't. `lossy` drops what a circuit can't hold and the file can do without.
            What is wrong is told in a `CircuitError` that starts with a verb, so that the file's name can stand first.
        write: Write a circuit into a file.
        lost: What of a circuit the format can't carry; empty if it carries all.
        spans: Whether it can hold edges that are split by spans; for one that can't they are merged.
        order: Contents are tried in this order, so that of two formats that recognise one, the stricter is taken; in
            the order of the files' names where it is equal.
    """

    name: str
    summary: str
    suffix: str
    carries: str
    recognises: Callable[[bytes], bool]
    read: Callable[[bytes, Graph | None, bool], Circuit]
    write: Callable[[Circuit, Path], Path]
    lost: Callable[[Circuit], str]
    spans: bool = False
    order: int = 1


def nothing_lost(circuit: Circuit) -> str:
    """`lost` of a format that carries everything."""
    return ""


def measured(circuit: Circuit) -> Bool[Tensor, "src dst"]:
    """True where an edge has a score."""
    scores = circuit.scores
    return torch.zeros_like(circuit.mask) if scores is None else ~scores.isnan()


def header_of(circuit: Circuit) -> dict[str, Any]:
    """What a list of edges doesn't say: the graph's shape, whether there are scores, and where the circuit is from."""
    return {
        "cfg": cfg_of(circuit.graph),
        "scores": circuit.scores is not None,
        "score_kind": circuit.score_kind,
        "provenance": dict(circuit.provenance),
    }


class _Header(BaseModel):
    """What `header_of` writes; other tools' files have none of it."""

    model_config = ConfigDict(strict=True)

    cfg: dict[str, Any] | None = None
    scores: bool | None = None
    score_kind: Any = None
    provenance: dict[str, Any] = {}


def _header(value: Mapping[str, Any]) -> _Header:
    try:
        return files.validated(_Header, dict(value), what="has a wrong header")
    except FileError as error:
        raise CircuitError(str(error)) from None


def from_header(
    header: Mapping[str, Any], graph: Graph, mask: Bool[Tensor, "src dst"], scores: Float[Tensor, "src dst"] | None
) -> Circuit:
    """The circuit of a mask and scores (NaN: not measured; None: no edge was) under its header, or under none."""
    found = _header(header)
    kind = check_score_kind(found.score_kind)
    return Circuit(graph, mask, settled(mask, scores, found.scores), found.provenance, kind)


class Listed:
    """The edges of a file that lists them, kept or removed, each with its score; the same edge twice must agree."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self._edges = graph, dict[tuple[int, int], tuple[bool, float]]()

    def add(self, edge: str, kept: bool, score: float) -> None:
        """Note an edge.

        Raises:
            CircuitError: The graph has no such edge, or it was noted otherwise before.
        """
        where = self.graph.parse_edge(edge)
        before_kept, before = self._edges.setdefault(where, (kept, score))
        if kept != before_kept:
            raise CircuitError(f"{edge!r} is listed as kept and as removed")
        if score != before and not (math.isnan(score) and math.isnan(before)):
            raise CircuitError(f"{edge!r} is listed twice, with the scores {before:g} and {score:g}")

    def circuit(self, header: Mapping[str, Any]) -> Circuit:
        """The circuit of all that was noted."""
        mask = torch.zeros(self.graph.n_src, self.graph.n_dst, dtype=torch.bool)
        places = torch.tensor(list(self._edges), dtype=torch.long).reshape(-1, 2).unbind(1)
        mask[places] = torch.tensor([kept for kept, _ in self._edges.values()], dtype=torch.bool)
        values = torch.tensor([score for _, score in self._edges.values()], dtype=torch.float64)
        if bool(values.isnan().all()):
            return from_header(header, self.graph, mask, None)
        scores = torch.full(mask.shape, math.nan, dtype=torch.float64)
        scores[places] = values
        return from_header(header, self.graph, mask, scores)


def graph_of(header: Mapping[str, Any], expected: Graph | None) -> Graph:
    """The graph that a header names, or the expected one where it names none.

    Raises:
        ShapelessError: Neither says the shape.
        CircuitError: They differ.
    """
    cfg = _header(header).cfg
    if cfg is not None:
        return graph_of_cfg(cfg, expected)
    if expected is None:
        raise ShapelessError(SHAPELESS)
    return expected


def parse_json(content: bytes | str, *, allow_nan: bool = False) -> Any:
    """The JSON value, or a `CircuitError` that says what is wrong with it."""
    if len(content) > MAX_JSON_BYTES:
        raise CircuitError(f"has {len(content):,} bytes of JSON, more than the {MAX_JSON_BYTES:,} that are read")
    try:
        return files.parse_json(content, allow_nan=allow_nan)
    except FileError as error:
        raise CircuitError(str(error)) from None
