"""Which cells a site's map has, which of them are trivial, and how each enters the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from acdc.interpret.patching_maps.columns import Columns
from acdc.interpret.patching_maps.rerun import Entry, Held
from acdc.interpret.patching_maps.sides import Base, Sides
from acdc.interpret.patching_maps.sites import BY_HEAD, STREAM, Site, added, head_changes, stream_change
from acdc.patching.activations import ActivationCache

__all__ = ["Place", "Plan", "all_positions"]


class Place(NamedTuple):
    """A cell: which map, and where in it."""

    plan: int
    row: int
    column: int


@dataclass(frozen=True)
class Plan:
    """The cells of one site's map.

    Attributes:
        number: Which map of those that are made together.
        site: What is patched.
        where: The positions of each prompt that each column patches, as far as patching them can change anything.
        window: How many layers about its own a cell patches, of `attn_out` and `mlp_out`.
    """

    number: int
    site: Site
    sides: Sides
    columns: Columns
    where: Bool[Tensor, "column batch pos"]
    window: int = 1

    @classmethod
    def of(cls, number: int, site: Site, sides: Sides, columns: Columns, window: int) -> "Plan":
        """The plan of a site; by head alone, a column of all positions."""
        width = window if site.name in ("attn_out", "mlp_out") else 1
        return cls(number, site, sides, columns, columns.where & sides.active, width)

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.sides.model.graph.n_layers

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the map's rows."""
        graph = self.sides.model.graph
        if self.site.cells == STREAM:
            return (*map(str, range(graph.n_layers)), *(["final"] if self.site.name == "resid_pre" else []))
        if self.site.cells == BY_HEAD:
            return tuple(map(str, range(graph.n_layers)))
        return tuple(f"a{layer}.h{h}" for layer in range(graph.n_layers) for h in range(graph.n_heads))

    @property
    def column_labels(self) -> tuple[str, ...]:
        """Names of the map's columns."""
        if self.site.cells == BY_HEAD:
            return tuple(f"h{h}" for h in range(self.sides.model.graph.n_heads))
        return self.columns.labels

    def nothing(self, layer: int, column: int) -> bool:
        """Whether patching here changes nothing, by construction: it is before the first difference, behind the last
        attention at no target, or something that is made of a position's token alone where the tokens are the same."""
        return all(self._nothing(each, column) for each in self.layers(layer))

    def layers(self, layer: int) -> range:
        """The layers that a cell patches."""
        half = self.window // 2
        return range(max(0, layer - half), min(self.n_layers + 1, layer - half + self.window))

    def _nothing(self, layer: int, column: int) -> bool:
        where, name = self.where[column], self.site.name.removesuffix("_by_pos")
        own = name in ("resid_pre", "q", "k", "v") or (name == "mlp_out" and self.sides.model.components.parallel)
        if own and layer == 0:
            where = where & self.sides.differ
        last = layer == self.n_layers or (layer == self.n_layers - 1 and name not in ("resid_pre", "k", "v"))
        return not bool((where[:, -1] if last else where).any())

    def everything(self, layer: int, column: int) -> bool:
        """Whether the cell is the whole other run, by construction."""
        if self.site.name == "resid_pre" and layer == 0:
            return bool((self.where[column] >= self.sides.differ).all())
        last = {"resid_pre": self.n_layers, "resid_mid": self.n_layers - 1}.get(self.site.name)
        return layer == last and bool(self.where[column][:, -1].all())

    @cached_property
    def runs(self) -> Bool[np.ndarray, "layer column"]:
        """Which cells of which layers can change anything."""
        layers = range(self.n_layers + (self.site.name == "resid_pre"))
        return np.array([[not self.nothing(layer, c) for c in range(len(self.where))] for layer in layers])

    @cached_property
    def trivial(self) -> Bool[np.ndarray, "row column"]:
        """Where a value follows from the place alone."""
        if self.site.cells == BY_HEAD:
            return np.zeros((len(self.rows), len(self.column_labels)), bool)
        whole = np.array(
            [[self.everything(layer, c) for c in range(len(self.where))] for layer in range(len(self.runs))]
        )
        return np.repeat(~self.runs | whole, len(self.rows) // len(self.runs), axis=0)

    @property
    def n_cells(self) -> int:
        """How many are run."""
        return int(self.runs.sum()) * (1 if self.site.cells == STREAM else self.sides.model.graph.n_heads)

    # -- its cells

    @cached_property
    def starts(self) -> dict[int, list[int]]:
        """The columns by the first column of the batch that they change; those that change nothing are left out."""
        found: dict[int, list[int]] = {}
        for c, where in enumerate(self.where):
            if bool(where.any()):
                found.setdefault(int(where.any(0).nonzero()[0]), []).append(c)
        return found

    def entries(
        self, base: Base, donor: ActivationCache, layer: int, start: int, columns: list[int]
    ) -> Iterator[Entry]:
        """The cells of a layer, of some columns that start together."""
        live = [c for c in columns if self.runs[layer, c]]
        if self.site.cells == STREAM:
            yield from self._of_stream(base, donor, layer, start, live)
            return
        n_heads = base.model.graph.n_heads
        for c in live:
            for h, change in enumerate(head_changes(base, donor, layer, self.site.donors, self.where[c])):
                place = (layer, h) if self.site.cells == BY_HEAD else (layer * n_heads + h, c)
                enters = _behind_attention(base, layer)
                yield Entry(Place(self.number, *place), *enters, change[:, start:])

    def _of_stream(
        self, base: Base, donor: ActivationCache, layer: int, start: int, columns: list[int]
    ) -> Iterator[Entry]:
        name, (first, *others) = self.site.name, self.layers(layer)
        match name:
            case "resid_pre":
                change, enters = stream_change(base, donor, layer), (layer, False)
            case "resid_mid":  # the rest of the block at this position follows from it: the next resid_pre
                change, enters = stream_change(base, donor, layer + 1), (layer + 1, False)
            case _:
                change = added(donor, base, name, first) - added(base.run, base, name, first)
                enters = _behind_attention(base, first) if name == "attn_out" else (first + 1, False)
        for c in columns:
            where = self.where[c][:, start:]
            held = {
                (other, name): Held(where, added(donor, base, name, other)[:, start:])
                for other in others
                if other < self.n_layers
            }
            yield Entry(Place(self.number, layer, c), *enters, change[:, start:] * where[..., None], held)


def _behind_attention(base: Base, layer: int) -> tuple[int, bool]:
    """Where a change of what attention adds enters: in parallel blocks the MLP doesn't read it."""
    return (layer + 1, False) if base.parallel else (layer, True)


def all_positions(sides: Sides) -> Columns:
    """The one column of sites by head: everything from the first difference on."""
    return Columns(("all",), sides.active[None])
