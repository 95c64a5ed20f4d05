"""A circuit of split edges as one of whole edges: an edge is kept if it is at any span."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from acdc.circuits.score_kinds import ScoreKind

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit

__all__ = ["alike", "merged"]

SUMMED: tuple[ScoreKind, ...] = ("estimated effect",)  # linear in what is removed, so spans add up to the whole edge
KEPT: tuple[ScoreKind, ...] = ("gate", "none")  # the largest of the spans' means what each of them does


def merged(circuit: "Circuit") -> "Circuit":
    """See `Circuit.merge_spans`."""
    graph = circuit.graph
    if not graph.spans:
        return circuit
    mask = graph.by_span(circuit.mask).any(-1)
    scores, kind = circuit.scores, circuit.score_kind
    if scores is not None:
        by_span = graph.by_span(scores)
        scores = _sum(by_span) if kind in SUMMED else _largest(by_span)
        kind = kind if kind is None or kind in (*SUMMED, *KEPT) else "importance"
    provenance = {**circuit.provenance, "merged_spans": list(graph.spans)}
    return type(circuit)(graph.whole, mask, scores, provenance, kind)


def _sum(scores: Float[Tensor, "src dst span"]) -> Float[Tensor, "src dst"]:
    """The sum of what was measured; NaN where nothing was."""
    return scores.nansum(-1).masked_fill(scores.isnan().all(-1), math.nan)


def _largest(scores: Float[Tensor, "src dst span"]) -> Float[Tensor, "src dst"]:
    """The score that is largest in size, with its sign; NaN where nothing was measured."""
    at = scores.abs().nan_to_num(nan=-1.0, posinf=math.inf).argmax(-1, keepdim=True)
    return scores.gather(-1, at).squeeze(-1)


def alike(circuits: Iterable["Circuit"]) -> list["Circuit"]:
    """The circuits as they are if their edges are split in one way, else merged."""
    found = list(circuits)
    return found if len({circuit.graph.spans for circuit in found}) == 1 else [merged(each) for each in found]
