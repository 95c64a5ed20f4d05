"""A layer's heads in a circuit's forward pass: from inputs of their own to what they change.

Heads are projected and attend in batches. A head whose q, k or v input no kept edge changes takes that of the ablated
stream, and so does every token that ablation can't change. A head whose output is read at the last position alone has
one query.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.models.components import index_of
from acdc.patching.attention import attend_heads, finish, head_outputs, head_results, head_rows, project
from acdc.patching.background import Background, is_joint
from acdc.patching.exact.reachability import Groups, LayerReach

__all__ = ["Heads"]


class Heads:
    """The heads of a layer that a pass computes, by groups of rows.

    Attributes:
        written: For each group those whose output is read there.
        all_positions, last_position: Those of any group but the last positions', and of that alone.
        reading: For each kind and group the heads whose input is read; the others take the ablated stream's.
    """

    def __init__(self, background: Background, layer: int, reach: LayerReach) -> None:
        self.background, self.layer = background, layer
        self.block = background.model.components.blocks[layer]
        self.attention = self.block.attention
        self.written, self.rows = reach.heads, background.rows
        self.all_positions, self.last_position = reach.all_positions, reach.last_position
        self.reading = self._reading(reach)
        self._weights = {
            (kind, group): self._weight(kind, heads)
            for kind in QKV
            for group, heads in enumerate(self.reading[kind])
            if heads
        }

    def _reading(self, reach: LayerReach) -> dict[str, Groups]:
        if is_joint(self.attention):  # each needs all of its inputs
            return dict.fromkeys(QKV, (*(self.all_positions,) * self.rows.last, []))
        return reach.inputs

    def _weight(self, kind: str, heads: list[int]) -> tuple[Tensor, Tensor | None]:
        """The projection of the heads that read, each with a copy of the weights that it shares; or once for all."""
        weight, bias = head_rows(self.attention, kind)
        if len(heads) == self.attention.n_heads:
            return weight, bias
        stored = index_of([h * len(weight) // self.attention.n_heads for h in heads])
        return weight[stored], None if bias is None else bias[stored]

    def let_go(self) -> None:
        """Hold the weights no longer."""
        self._weights.clear()

    def dsts(self, group: int) -> list[int]:
        """The destinations that are read at a group of rows, as columns of the whole graph."""
        head_dst = self.background.model.graph.head_dst
        return [head_dst(self.layer, kind, h) for kind in QKV for h in self.reading[kind][group]]

    def project(self, x: Float[Tensor, "n rows d_model"], group: int) -> dict[str, Tensor]:
        """The projections of the inputs of all `dsts(group)`; where heads are joint, the normed inputs themselves."""
        normed = self.block.ln1(x).split([len(self.reading[kind][group]) for kind in QKV])
        if is_joint(self.attention):
            return dict(zip(QKV, normed, strict=True))
        found = {}
        for kind, y in zip(QKV, normed, strict=True):
            if len(y):
                weight, bias = self._weights[kind, group]
                rows = project(y.reshape(len(weight), -1, y.shape[-1]), weight, bias)
                found[kind] = rows.view(*y.shape[:2], -1)
        return found

    def changes(self, projected: Sequence[dict[str, Tensor]]) -> list[Float[Tensor, "_n _rows d_model"] | None]:
        """What the heads change that are read at each group of rows; None where none is.

        Args:
            projected: For each group what `project` gives.
        """
        if is_joint(self.attention):
            z = self._z_joint(projected) if self.all_positions else self.background.z[self.layer][:0]
            return self._of_groups(self.all_positions, z)
        n, heads = len(self.all_positions), self.all_positions + self.last_position
        k, v = (self._at_all(kind, heads, projected) for kind in ("k", "v"))
        found = list[Tensor | None]([None] * len(self.written))
        if n:
            q = self._at_all("q", self.all_positions, projected)
            found = self._of_groups(self.all_positions, self._attend(self.all_positions, q, k[:n], v[:n]))
        if self.last_position:
            z = self._attend(self.last_position, self._at_last(projected[-1]), k[n:], v[n:])
            at_last = self._change(self.last_position, z, self.rows.last)
            found[-1] = at_last if found[-1] is None else torch.cat([found[-1], at_last])
        return found

    def _of_groups(self, heads: list[int], z: Float[Tensor, "n positions d_head"]) -> list[Tensor | None]:
        found = list[Tensor | None]()
        for group, here in enumerate(self.written):
            some = [h for h in heads if h in here]
            at_rows = self.rows.take(z if len(some) == len(heads) else z[[heads.index(h) for h in some]], group)
            found.append(self._change(some, at_rows, group) if some else None)
        return found

    def _change(self, heads: list[int], z: Float[Tensor, "n rows d_head"], group: int) -> Tensor:
        ablated = self.rows.read(self.background.z[self.layer], group)
        return head_results(self.attention, z - ablated[index_of(heads)], heads)

    def _z_joint(self, inputs: Sequence[dict[str, Tensor]]) -> Float[Tensor, "n positions d_head"]:
        each = {kind: self._positions([of_group[kind] for of_group in inputs[:-1]]) for kind in QKV}
        return head_outputs(self.attention, self.all_positions, each, self.background.layout).flatten(1, 2)

    def _positions(self, groups: list[Tensor]) -> Float[Tensor, "n batch pos d"]:
        """All positions, of which each is in a group."""
        if self.rows.are_all:
            return groups[0].unflatten(1, (self.rows.batch, self.rows.width))
        return torch.cat(groups, 1)[:, self.rows.numbers]

    def _attend(self, heads: list[int], q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "n positions d_head"]:
        bias = self.background.layout.bias_of(self.attention, heads)[..., -q.shape[-2] :, :]
        return attend_heads(self.attention, heads, q[:, None], k[:, None], v[:, None], bias)[:, 0].flatten(1, 2)

    def _at_all(
        self, kind: str, heads: list[int], projected: Sequence[dict[str, Tensor]]
    ) -> Float[Tensor, "n batch pos d_head"]:
        """q, k or v of these heads at all positions."""
        ablated = getattr(self.background, kind)[self.layer]  # of the heads that are stored
        of_heads = ablated[index_of([h * len(ablated) // self.attention.n_heads for h in heads])]
        flat = of_heads.flatten(1, 2)
        for group, reading in enumerate(self.reading[kind]):
            where = [heads.index(h) for h in reading if h in heads]
            if not where:
                continue
            rows = self._finished(kind, reading, projected[group][kind], group)
            rows = rows if len(where) == len(reading) else rows[[i for i, h in enumerate(reading) if h in heads]]
            flat = self._placed(flat, where, rows, group)
        return flat.view(of_heads.shape)

    def _finished(self, kind: str, heads: list[int], rows: Tensor, group: int) -> Float[Tensor, "n rows d_head"]:
        """The projections of heads, clipped, normed and rotated."""
        stored = [h * len(head_rows(self.attention, kind)[0]) // self.attention.n_heads for h in heads]
        return finish(self.attention, kind, rows, stored, self.background.tables(self.attention, group))

    def _placed(self, flat: Tensor, where: list[int], rows: Tensor, group: int) -> Float[Tensor, "n positions d_head"]:
        """`rows` of some heads in place of what is there."""
        places = self.rows.places[group]
        if where == list(range(len(flat))):
            return rows if rows.shape == flat.shape and self.rows.are_all else flat.index_copy(1, places, rows)
        at = torch.tensor(where, device=flat.device)
        return flat.index_copy(0, at, flat[at].index_copy(1, places, rows))

    def _at_last(self, projected: dict[str, Tensor]) -> Float[Tensor, "n_last batch 1 d_head"]:
        """Queries of the heads that are read at the last position alone, there."""
        heads, reading = self.last_position, self.reading["q"][-1]
        q = self.background.q[self.layer][index_of(heads)][:, :, -1]
        if where := [heads.index(h) for h in reading if h in heads]:
            new = self._finished("q", reading, projected["q"], self.rows.last)
            new = new if len(where) == len(reading) else new[[i for i, h in enumerate(reading) if h in heads]]
            q = q.index_copy(0, torch.tensor(where, device=q.device), new)
        return q[:, :, None]
