"""What removing edges changes: `ablated_s - out_s` in the residual stream, summed over the removed edges' sources."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.models.components import ModelComponents, index_of
from acdc.patching.activations import NodeOutputs
from acdc.patching.attention import head_results
from acdc.patching.rows import Rows

__all__ = ["Changes", "Removal", "Waiting"]


@dataclass
class Waiting:
    """Sources whose edges into a destination are removed, and not yet folded into the activations; until then, their
    changes stay the same.

    Attributes:
        sums: The sum of the changes of the first so many of them, at groups of rows.
    """

    sources: list[int] = field(default_factory=list)
    sums: dict[int, tuple[int, Float[Tensor, "rows d_model"]]] = field(default_factory=dict)


class Removal(NamedTuple):
    """Edges into one destination that are removed: in all copies of the batch those that wait, in copy c also those of
    `sources` where `chosen[c]` is 1."""

    waiting: Waiting | None
    sources: list[int]
    chosen: Float[Tensor, "copies n"]


class _Known(NamedTuple):
    """Changes of the first sources, of which those that are `fresh` were computed and still hold."""

    changes: Float[Tensor, "src rows d_model"]
    fresh: Bool[np.ndarray, " src"]


class Changes:
    """The change of each source, computed when it is asked for and kept while it holds.

    Args:
        out, ablated: What the sources write now and when they are ablated; `out` may be overwritten, and what was
            overwritten is then told to `forget`.
        room: Bytes that kept changes may take, at all rows and at the last positions each; where those of all sources
            would take more, the first sources' are kept, which most destinations read.
    """

    def __init__(
        self, graph: Graph, components: ModelComponents, rows: Rows, out: NodeOutputs, ablated: NodeOutputs, room: int
    ) -> None:
        self._graph, self._components, self._rows = graph, components, rows
        self._out, self._ablated = out, ablated
        self._known = [self._known_within(room, group) for group in rows.groups]

    def of(self, sources: list[int], group: int) -> Float[Tensor, "n rows d_model"]:
        """`ablated_s - out_s` of some sources."""
        known = self._know(sources, group)
        n_kept = len(known.fresh)
        others = [src for src in sources if src >= n_kept]
        if not others:
            return known.changes[index_of(sources)]
        computed = self._compute(others, group)
        if len(others) == len(sources):
            return computed
        found = computed.new_empty(len(sources), *computed.shape[1:])
        places = torch.tensor(sources) < n_kept
        found[places], found[~places] = known.changes[[src for src in sources if src < n_kept]], computed
        return found

    def sums_of(
        self, sources: list[int], chosen: Float[Tensor, "copies n"], group: int
    ) -> Float[Tensor, "copies rows d_model"]:
        """For each copy, the sum of the changes of those sources that are `chosen` in it."""
        n = max(sources) + 1
        if len(sources) < n / 2 or n > len(self._known[group].fresh):
            return torch.tensordot(chosen, self.of(sources, group), 1)
        self._know(sources, group)
        spread = chosen.new_zeros(len(chosen), n)  # a product with what lies there is faster than taking it out
        spread[:, sources] = chosen
        return torch.tensordot(spread, self._known[group].changes[:n], 1)

    def sum_of(self, waiting: Waiting, group: int) -> Float[Tensor, "rows d_model"]:
        """The sum of the changes of all that wait, one after another: a search that goes on from a checkpoint sums them
        in other portions, and must find the same bits."""
        done, total = waiting.sums.get(group, (0, torch.zeros((), dtype=self._out.input.dtype)))
        for src in waiting.sources[done:]:
            total = self.of([src], group)[0] + total
        waiting.sums[group] = len(waiting.sources), total
        return total

    def forget(self, sources: list[int], group: int) -> None:
        """These sources write something else now at a group of rows."""
        holding = self._rows.holding_last
        for known in [self._known[i] for i in self._rows.groups if i == group or (holding(i) and holding(group))]:
            known.fresh[[src for src in sources if src < len(known.fresh)]] = False

    def _know(self, sources: list[int], group: int) -> _Known:
        """Compute what is to be kept of these sources, and isn't."""
        known = self._known[group]
        if missing := [src for src in sources if src < len(known.fresh) and not known.fresh[src]]:
            known.changes[missing] = self._compute(missing, group)
            known.fresh[missing] = True
        return known

    def _known_within(self, room: int, group: int) -> _Known:
        like = self._rows.read(self._out.input, group)
        n_rows = len(self._out.input) if group < self._rows.last else len(like)
        n_kept = min(self._graph.n_src, room // (n_rows * like.shape[-1] * like.element_size()))
        return _Known(like.new_zeros(n_kept, *like.shape), np.zeros(n_kept, bool))

    def _compute(self, sources: list[int], group: int) -> Float[Tensor, "n rows d_model"]:
        read, out, ablated = self._rows.read, self._out, self._ablated
        like = read(out.input, group)
        change = like.new_empty(len(sources), *like.shape)
        heads_of: dict[int, list[tuple[int, int]]] = {}
        for i, src in enumerate(sources):
            layer, h = divmod(src - 1, self._graph.n_heads + 1)
            if src == 0:
                change[i] = read(ablated.input - out.input, group)
            elif h == self._graph.n_heads:
                change[i] = read(ablated.mlp[layer] - out.mlp[layer], group)
            else:
                heads_of.setdefault(layer, []).append((i, h))
        for layer, pairs in heads_of.items():
            places, heads = [i for i, _ in pairs], [h for _, h in pairs]
            here = index_of(heads)
            z = read(ablated.z[layer][here] - out.z[layer][here], group)
            change[places] = head_results(self._components.blocks[layer].attention, z, heads)
        return change
