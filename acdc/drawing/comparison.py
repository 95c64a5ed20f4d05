"""One picture of two or more circuits: what they share and what only one of them keeps, told apart by colour."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.overlap import edge_groups
from acdc.circuits.score_kinds import words_of
from acdc.drawing.render import draw
from acdc.drawing.scene import MAX_DRAWN_EDGES, Groups

__all__ = ["draw_comparison", "union_of"]

SHARED, SEVERAL, REST = "#333333", "#E69F00", "#9E9E9E"
ALONE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")  # Okabe and Ito's, for the first five circuits


def draw_comparison(
    circuits: Mapping[str, Circuit],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    max_edges: int | None = MAX_DRAWN_EDGES,
) -> list[Path]:
    """Draw every edge that one of the circuits keeps; formats and files as for `draw`.

    An arrow's colour says whether the edge is in all circuits, in several, or in which alone. Its width is the edge's
    score as a share of its circuit's largest, the greatest of these where several keep it: scores of different methods
    have different units.

    Args:
        circuits: Two or more circuits of one graph, by name.
        path: The file.
        title: Default: the circuits' names.
        max_edges: Draw only so many edges, those of the largest share; None draws all.
    """
    union, groups = union_of(circuits)
    return draw(union, path, title=" | ".join(circuits) if title is None else title, max_edges=max_edges, groups=groups)


def union_of(circuits: Mapping[str, Circuit]) -> tuple[Circuit, Groups]:
    """The circuit that keeps what any of them does, with scores as shares, and the group of each edge."""
    circuits, alone = dict(circuits), dict(zip(circuits, ALONE, strict=False))
    masks = torch.stack([circuit.mask for circuit in circuits.values()])
    shares = torch.stack([_shares(circuit) for circuit in circuits.values()])
    greatest = shares.abs().nan_to_num(-1.0).argmax(0, keepdim=True)
    scores = shares.gather(0, greatest).squeeze(0)
    graph = next(iter(circuits.values())).graph
    kinds = {circuit.score_kind for circuit in circuits.values() if circuit.scores is not None}
    kind = kinds.pop() if len(kinds) == 1 else None
    union = Circuit(graph, masks.any(0), None if bool(scores.isnan().all()) else scores, score_kind=kind)
    colors = {"in all": SHARED, "in several": SEVERAL} | {f"only {name}": alone.get(name, REST) for name in circuits}
    groups = edge_groups({name: circuit.mask for name, circuit in circuits.items()})
    of = {edge: group for group, mask in groups.items() for edge in graph.edge_names(mask)}
    return union, Groups(of, colors, f"width: {words_of(kind).label} as a share of its circuit's largest")


def _shares(circuit: Circuit) -> torch.Tensor:
    """Each kept edge's score divided by the largest finite one; NaN where it wasn't measured."""
    missing = torch.full(circuit.mask.shape, math.nan, dtype=torch.float64)
    scores = missing if circuit.scores is None else circuit.scores.masked_fill(~circuit.mask, math.nan)
    finite = scores[scores.isfinite()].abs()
    largest = float(finite.max()) if len(finite) else 0.0
    return (scores / (largest or 1.0)).clamp(-1.0, 1.0)
