"""A map of patched cells: what the metric is in each, and which share of the difference between the two runs that is.

    denoising = (m(patched) - m(corrupt)) / (m(clean) - m(corrupt))     0: nothing, 1: all is restored
    noising   = (m(clean) - m(patched)) / (m(clean) - m(corrupt))       0: nothing, 1: all is broken

m is the mean over prompts: a ratio of means, since a mean of ratios is ruled by the prompts whose difference is near 0.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from acdc.evaluation.confidence import Interval, faithfulness_interval
from acdc.evaluation.meaning import no_meaning
from acdc.interpret.explanation import PatchingMap
from acdc.patching.direction import DENOISING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "NodeMap"]


class Cell(NamedTuple):
    """One cell of a map: its share of the difference, and the metric's mean with it patched.

    `node` is the name of the head or MLP that it is, if it is one: that of layer 5 in column h1 is a5.h1.
    """

    row: str
    column: str
    node: str
    value: float | None
    mean: float
    trivial: bool


@dataclass(frozen=True, eq=False)
class NodeMap:
    """Patched cells of one site, one direction and one metric.

    Attributes:
        site: What was patched, like `resid_pre` or `z`; of causal tracing and path patching, in words.
        rows, columns: Names of layers or nodes, and of positions or heads.
        patched: The metric of each prompt with the cell patched; NaN where there is no such cell.
        clean, corrupt: The metric of each prompt on both sides.
        trivial: Cells whose value follows from where they are, whatever the model: 0 before the first difference or
            where nothing reads them, 1 where all of the other run is put in.
        rounding: By how much values about 1 can be off in the model's dtype.
    """

    site: str
    direction: str
    metric: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    patched: Float64[np.ndarray, "row column prompt"]
    clean: Float64[np.ndarray, " prompt"]
    corrupt: Float64[np.ndarray, " prompt"]
    trivial: Bool[np.ndarray, "row column"]
    rounding: float

    def __repr__(self) -> str:
        cells = f"{len(self.rows)} x {len(self.columns)} cells, n={len(self.clean)}"
        return f"NodeMap({self.direction} {self.site} by {self.metric}, {cells})"

    @cached_property
    def no_meaning(self) -> str | None:
        """Why the shares mean nothing: the two sides may not differ at all; None where they do."""
        return no_meaning(self.clean, self.corrupt, rounding=self.rounding)

    @cached_property
    def means(self) -> Float64[np.ndarray, "row column"]:
        """The metric's mean over prompts with each cell patched."""
        return self.patched.mean(-1)

    @cached_property
    def values(self) -> Float64[np.ndarray, "row column"]:
        """The shares; NaN where they have no meaning."""
        if self.no_meaning is not None:
            return np.full_like(self.means, np.nan)
        clean, corrupt = self.clean.mean(), self.corrupt.mean()
        gained = self.means - corrupt if self.direction == DENOISING else clean - self.means
        return gained / (clean - corrupt) + 0.0  # no negative zeros

    def frame(self) -> "pd.DataFrame":
        """A line a cell: its place, `value` (the share), `mean` (the metric's), and whether it is `trivial`."""
        import pandas as pd

        rows, columns = np.meshgrid(self.rows, self.columns, indexing="ij")
        return pd.DataFrame(
            {
                "site": self.site,
                "direction": self.direction,
                "metric": self.metric,
                "row": rows.ravel(),
                "column": columns.ravel(),
                "value": self.values.ravel(),
                "mean": self.means.ravel(),
                "trivial": self.trivial.ravel(),
            }
        )

    def strongest(self, n: int) -> list[Cell]:
        """The `n` cells of the largest effect in either direction, the trivial ones left out."""
        effect = np.abs(self.means - (self.corrupt if self.direction == DENOISING else self.clean).mean())
        effect = np.where(self.trivial | np.isnan(effect), -1.0, effect)
        order = np.argsort(-effect, axis=None, kind="stable")[:n]
        return [self.cell(*divmod(int(i), len(self.columns))) for i in order if effect.flat[i] > 0]

    def cell(self, row: int, column: int) -> Cell:
        """A cell by its place."""
        value = float(self.values[row, column])
        return Cell(
            self.rows[row],
            self.columns[column],
            self._node(row, column),
            None if math.isnan(value) else value,
            float(self.means[row, column]),
            bool(self.trivial[row, column]),
        )

    def _node(self, row: int, column: int) -> str:
        layer, name = self.rows[row], self.columns[column]
        if not layer.isdigit():
            return ""
        return f"m{layer}" if name == "mlp" else f"a{layer}.{name}" if re.fullmatch(r"h\d+", name) else ""

    def interval(self, row: int, column: int) -> Interval:
        """The share of a cell with its 95% interval over the prompts."""
        patched, clean, corrupt = self.patched[row, column], self.clean, self.corrupt
        ends = (clean, corrupt) if self.direction == DENOISING else (corrupt, clean)
        return faithfulness_interval(patched, *ends, rounding=self.rounding)

    def explained(self) -> PatchingMap:
        """The map as a page reads it."""
        places = np.argwhere(self.trivial).tolist()
        return PatchingMap(
            direction=self.direction,  # type: ignore[arg-type]  # checked when the map was made
            site=self.site,
            metric=self.metric,
            rows=list(self.rows),
            columns=list(self.columns),
            values=[[None if math.isnan(x) else x for x in row] for row in self.values.tolist()],
            clean=float(self.clean.mean()),
            corrupt=float(self.corrupt.mean()),
            n_prompts=len(self.clean),
            trivial=[(row, column) for row, column in places],
        )
