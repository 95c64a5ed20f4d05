"""What a file format of circuits is: how it is told from others, read and written, and what it can't carry."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuit import Circuit, cfg_of, graph_of_cfg
from acdc.errors import CircuitError
from acdc.graph import Graph
from acdc.score_kinds import check_score_kind

__all__ = ["Format", "from_header", "graph_of", "header_of", "measured", "parse_json", "read_bytes"]


@dataclass(frozen=True)
class Format:
    """A file format of circuits.

    Attributes:
        name: What `--to` and `--from` call it.
        summary: Whose it is and what it holds.
        suffix: How its files' names end; the longest suffix that fits decides.
        carries: What of a circuit it can hold, for people.
        recognises: Whether a file's content is of this format.
        read: The circuit of a file. The graph, if given, is the one that the circuit must belong to, and tells the
            shape where the file doesn't. `lossy` drops what a circuit can't hold and the file can do without.
        write: Write a circuit into a file.
        lost: What of a circuit the format can't carry; empty if it carries all.
    """

    name: str
    summary: str
    suffix: str
    carries: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, Graph | None, bool], Circuit]
    write: Callable[[Circuit, Path], Path]
    lost: Callable[[Circuit], str]


def nothing_lost(circuit: Circuit) -> str:
    """`lost` of a format that carries everything."""
    return ""


def measured(circuit: Circuit) -> Bool[Tensor, "src dst"]:
    """True where the effect of an edge was measured."""
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


def from_header(
    header: Mapping[str, Any], graph: Graph, mask: Bool[Tensor, "src dst"], scores: Float[Tensor, "src dst"]
) -> Circuit:
    """The circuit of a mask and scores (NaN: not measured) under its header, or under none."""
    has_scores = header.get("scores", not bool(scores.isnan().all()))
    provenance = header.get("provenance", {})
    if not isinstance(provenance, dict):
        raise CircuitError(f"'provenance' must be an object, not {type(provenance).__name__}")
    kind = check_score_kind(header.get("score_kind"))
    return Circuit(graph, mask, scores if has_scores else None, provenance, kind)


def graph_of(header: Mapping[str, Any], expected: Graph | None) -> Graph:
    """The graph that a header names, or the expected one where it names none.

    Raises:
        CircuitError: Neither says the shape, or they differ.
    """
    cfg = header.get("cfg")
    if cfg is None:
        if expected is None:
            raise CircuitError(
                "doesn't say the model's shape; give a circuit or a run of the same model (graph=, --graph)"
            )
        return expected
    if not isinstance(cfg, dict):
        raise CircuitError(f"'cfg' must be an object, not {type(cfg).__name__}")
    return graph_of_cfg(cfg, expected)


def read_bytes(path: Path) -> bytes:
    """The file's content, or a clear error."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CircuitError(f"can't read the circuit {path}: {error.strerror or error}") from None


def parse_json(content: bytes) -> Any:
    """The JSON value, or a clear error."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CircuitError(f"is not JSON: {error}") from None
