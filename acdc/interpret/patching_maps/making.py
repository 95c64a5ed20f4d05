"""A map of any cells: what they enter is given, what the metrics say of them is found."""

from collections.abc import Callable, Iterable

import numpy as np

from acdc.evaluation.values import ROUNDING
from acdc.interpret.patching_maps.measuring import Measures
from acdc.interpret.patching_maps.node_map import NodeMap
from acdc.interpret.patching_maps.rerun import Entry, Rerun
from acdc.interpret.patching_maps.sides import Base, Sides
from acdc.metrics import Metric
from acdc.patching.activations import ActivationCache
from acdc.progress import Progress, Tell

__all__ = ["Tally", "made"]


class Tally:
    """Counts the cells that are done, for whoever listens."""

    def __init__(self, total: int, tell: Tell | None) -> None:
        self.done, self.total, self.tell = 0, total, tell

    def add(self, n: int) -> None:
        """So many more are done."""
        self.done += n
        if self.tell is not None:
            self.tell(Progress(self.done, self.total, stage="patching", unit="cells"))


def made(
    sides: Sides,
    site: str,
    shape: tuple[tuple[str, ...], tuple[str, ...]],
    trivial: np.ndarray,
    entries: Callable[[Base, ActivationCache, int], Iterable[Entry]],
    n_cells: int,
    directions: tuple[str, ...],
    metrics: tuple[Metric, ...],
    memory: int,
    progress: Tell | None,
) -> tuple[NodeMap, ...]:
    """A map for each direction and metric, of cells that may change anything from the first difference on.

    Args:
        shape: Names of the rows and of the columns.
        entries: The cells, from the patched run, the other one, and the first column; their keys are (row, column).
            Cells without any entry stay as the patched run is.
        n_cells: How many they are.
    """
    measures = Measures.of(sides.model, sides.batch, metrics, sides.clean.logits, memory)
    clean, corrupt = (measures.of_logits(run.logits)[:, 0] for run in (sides.clean, sides.corrupt))
    start, tally = int(sides.active.any(0).nonzero()[0]), Tally(n_cells * len(directions), progress)
    found = []
    for way in directions:
        base, donor = sides.toward(way)
        rows, columns = shape
        unpatched = measures.of_logits(base.run.logits)[:, :, None]
        patched = np.broadcast_to(unpatched, (len(metrics), len(rows), len(columns), sides.batch.n)).copy()
        for done, finals in Rerun(base, start, memory).finals(entries(base, donor, start)):
            values = measures.of_finals(finals)
            for i, entry in enumerate(done):
                row, column = entry.key
                patched[:, row, column] = values[:, i]
            tally.add(len(done))
        found += [
            NodeMap(site, way, metric.name, rows, columns, patched[i], clean[i], corrupt[i], trivial, rounding)
            for i, metric in enumerate(metrics)
            for rounding in [ROUNDING[sides.model.dtype]]
        ]
    return tuple(found)
