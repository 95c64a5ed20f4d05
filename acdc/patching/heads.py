"""A layer's heads in a circuit's forward pass: from inputs of their own to what they change.

Heads are projected and attend in batches. A head whose q, k or v input no kept edge changes takes that of the ablated
stream, and so does every token that ablation can't change. A head whose output is read at the last position alone has
one query.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.models.components import index_of
from acdc.patching.attention import attend_heads, finish, head_outputs, head_results, head_rows, project
from acdc.patching.background import Background, is_joint
from acdc.patching.exact.reachability import LayerReach

__all__ = ["Heads"]

LAST = "last"  # the queries at the last position, beside q, k and v at all rows


class Heads:
    """The heads of a layer that a pass computes.

    Attributes:
        all_positions, last_position: Those whose output is read at all positions, and at the last alone.
        reading: The heads whose input of each kind is read; the others take the ablated stream's.
    """

    def __init__(self, background: Background, layer: int, reach: LayerReach) -> None:
        self.background, self.layer = background, layer
        self.block = background.model.components.blocks[layer]
        self.attention = self.block.attention
        self.all_positions, self.last_position = reach.all_positions, reach.last_position
        self.reading = self._reading(reach)
        self._weights = {kind: self._weight(kind) for kind in (*QKV, LAST)}

    def _reading(self, reach: LayerReach) -> dict[str, list[int]]:
        if is_joint(self.attention):  # each needs all of its inputs
            return dict.fromkeys(QKV, self.all_positions) | {LAST: []}
        once = set(self.last_position)
        q = [h for h in reach.inputs["q"] if h not in once]
        return reach.inputs | {"q": q, LAST: [h for h in reach.inputs["q"] if h in once]}

    def _weight(self, kind: str) -> tuple[Tensor, Tensor | None]:
        """The projection of the heads that read, each with a copy of the weights that it shares; or once for all."""
        weight, bias = head_rows(self.attention, kind if kind in QKV else "q")
        if len(self.reading[kind]) == self.attention.n_heads:
            return weight, bias
        stored = index_of([h * len(weight) // self.attention.n_heads for h in self.reading[kind]])
        return weight[stored], None if bias is None else bias[stored]

    def let_go(self) -> None:
        """Hold the weights no longer."""
        self._weights.clear()

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.all_positions) + len(self.last_position)

    def dsts(self, *kinds: str) -> list[int]:
        """The destinations of these kinds that are read."""
        head_dst = self.background.model.graph.head_dst
        return [head_dst(self.layer, "q" if kind == LAST else kind, h) for kind in kinds for h in self.reading[kind]]

    def project(self, x: Float[Tensor, "n rows d_model"], *kinds: str) -> dict[str, Tensor]:
        """The projections of the inputs of all `dsts(*kinds)`; where heads are joint, the normed inputs themselves."""
        normed = self.block.ln1(x).split([len(self.reading[kind]) for kind in kinds])
        if is_joint(self.attention):
            return dict(zip(kinds, normed, strict=True))
        found = {}
        for kind, y in zip(kinds, normed, strict=True):
            weight, bias = self._weights[kind]
            rows = project(y.reshape(len(weight), -1, y.shape[-1]), weight, bias) if len(y) else y
            found[kind] = rows.view(*y.shape[:2], -1) if len(y) else y[..., : weight.shape[-1]]
        return found

    def changes(
        self, projected: dict[str, Tensor]
    ) -> tuple[Float[Tensor, "n rows d_model"] | None, Float[Tensor, "n_last batch d_model"] | None]:
        """What the heads that are read at all positions change, and what those at the last alone do; None of none."""
        at_all, last = self._z_joint(projected) if is_joint(self.attention) else self._z(projected)
        ablated = self.background.z[self.layer]
        return (
            self._change(self.all_positions, at_all, ablated),
            self._change(self.last_position, last, ablated[:, self.background.last]),
        )

    def _change(self, heads: list[int], z: Tensor, ablated: Tensor) -> Tensor | None:
        return head_results(self.attention, z - ablated[index_of(heads)], heads) if heads else None

    def _z_joint(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        each = {kind: inputs[kind].unflatten(1, self.background.active.shape) for kind in QKV}
        z = (
            head_outputs(self.attention, self.all_positions, each, self.background.layout)
            if self.all_positions
            else each["q"]
        )
        return z.flatten(1, 2), z[:0, :, 0]

    def _z(
        self, projected: dict[str, Tensor]
    ) -> tuple[Float[Tensor, "n rows d_head"], Float[Tensor, "n_last batch d_head"]]:
        n, heads = len(self.all_positions), self.all_positions + self.last_position
        k, v = (self._at_all(kind, heads, projected[kind])[:, None] for kind in ("k", "v"))
        q, q_last = self._at_all("q", self.all_positions, projected["q"])[:, None], self._at_last(projected[LAST])
        z = self._attend(self.all_positions, q, k[:n], v[:n])
        return z.flatten(1, 2)[:, self.background.rows], self._attend(self.last_position, q_last, k[n:], v[n:])[:, :, 0]

    def _attend(self, heads: list[int], q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "n batch query d_head"]:
        if not heads:
            return q[:, 0]
        bias = self.background.layout.bias_of(self.attention, heads)[..., -q.shape[-2] :, :]
        return attend_heads(self.attention, heads, q, k, v, bias)[:, 0]

    def _at_all(self, kind: str, heads: list[int], projected: Tensor) -> Float[Tensor, "n batch pos d_head"]:
        """q, k or v of these heads at all positions."""
        background, reading = self.background, self.reading[kind]
        ablated = getattr(background, kind)[self.layer]  # of the heads that are stored
        of_heads = ablated[index_of([h * len(ablated) // self.attention.n_heads for h in heads])]
        if not reading:
            return of_heads
        stored = [h * len(ablated) // self.attention.n_heads for h in reading]
        rows = finish(self.attention, kind, projected, stored, background.tables(self.attention))
        flat = of_heads.flatten(1, 2)
        if reading == heads:
            made = rows if rows.shape == flat.shape else flat.index_copy(1, background.rows, rows)
        else:
            where = torch.tensor([heads.index(h) for h in reading], device=flat.device)
            made = flat.index_copy(0, where, flat[where].index_copy(1, background.rows, rows))
        return made.view(of_heads.shape)

    def _at_last(self, projected: Tensor) -> Float[Tensor, "n_last 1 batch 1 d_head"]:
        """Queries of the heads that are read at the last position, there."""
        background, reading = self.background, self.reading[LAST]
        q = background.q[self.layer][index_of(self.last_position)][:, :, -1]
        if reading:
            new = finish(self.attention, "q", projected, reading, background.tables(self.attention, last=True))
            q = q.index_copy(0, torch.tensor([self.last_position.index(h) for h in reading], device=q.device), new)
        return q[:, None, :, None]
