"""A circuit's activations on a batch: what each source writes, and what each destination reads."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.models.components import Attention, ModelComponents
from acdc.patching.activations import NodeOutputs
from acdc.patching.attention import attn_out, constant
from acdc.patching.exact.changes import Changes
from acdc.patching.layout import Layout, Tables
from acdc.patching.problem import Problem
from acdc.patching.rows import Rows

__all__ = ["CircuitCache", "Updates", "ablated_cache", "clean_cache"]


@dataclass
class Updates:
    """What a propagation computed anew, to be committed to the cache that it was given.

    Attributes:
        inputs: What destinations read now.
        outputs: Tensors of `CircuitCache.out`, and what is written now at a group of rows.
        projected: Heads of `CircuitCache.projected`, places among their positions, and what is there now.
        sources: Those that write something else now, at a group of rows.
    """

    inputs: dict[int, Float[Tensor, "rows d_model"]] = field(default_factory=dict)
    outputs: list[tuple[Tensor, Tensor, int]] = field(default_factory=list)
    projected: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    sources: list[tuple[list[int], int]] = field(default_factory=list)


@dataclass
class CircuitCache:
    """The activations; `commit` alone changes them.

    Attributes:
        rows: The positions that can change; activations hold no others, but for `prefix`.
        layout: Who may see whom, and the rotary tables.
        out, ablated: What the sources write in the circuit, and when they are ablated.
        projected: `q`, `k` and `v` of each layer's query heads, `[head batch width d_head]`.
        prefix: `k` and `v` at the constant positions before, `[head batch pos d_head]`.
        resid_pre, resid_mid: Per layer, the residual stream that heads and the MLP read if `inputs` holds nothing else.
        final: The same for the logits, at the last positions.
        inputs: What a destination reads where that is something else, at its span's rows or at the last positions'.
        changes: What removing an edge changes.
    """

    graph: Graph
    components: ModelComponents
    rows: Rows
    layout: Layout
    out: NodeOutputs
    ablated: NodeOutputs
    projected: dict[str, list[Float[Tensor, "head batch width d_head"]]]
    prefix: dict[str, list[Float[Tensor, "head batch pos d_head"]]]
    resid_pre: list[Float[Tensor, "rows d_model"]]
    resid_mid: list[Float[Tensor, "rows d_model"]]
    final: Float[Tensor, "batch d_model"]
    changes: Changes
    inputs: dict[int, Float[Tensor, "rows d_model"]] = field(default_factory=dict)
    _tables: dict[int, Tables] = field(default_factory=dict)  # by the identity of whole ones, which most layers share

    def rotary(self, attention: Attention, group: int | None = None) -> Tables | None:
        """A layer's rotary tables at a group of rows, all by None; None without rotary embeddings."""
        whole = self.layout.rotary(attention)
        if whole is None:
            return None
        if id(whole) not in self._tables:
            self._tables[id(whole)] = self.rows.pack(whole[0]), self.rows.pack(whole[1])
        cos, sin = self._tables[id(whole)]
        return (cos, sin) if group is None else (self.rows.read(cos, group), self.rows.read(sin, group))

    def commit(self, updates: Updates) -> None:
        """Take in what a propagation computed."""
        self.inputs |= updates.inputs
        for output, value, group in updates.outputs:
            self.rows.write(output, value, group)
        for of_head, places, value in updates.projected:
            of_head[places] = value
        for sources, group in updates.sources:
            self.changes.forget(sources, group)


def clean_cache(problem: Problem, *, room: int) -> CircuitCache:
    """The activations of the whole model.

    Args:
        room: Bytes that kept changes may take: see `Changes`.
    """
    rows, clean = Rows.of(problem.ablated.active, problem.batch), problem.clean
    resid_pre, resid_mid = ([rows.pack(x) for x in streams] for streams in (clean.resid_pre, clean.resid_mid))
    return _cache(problem, rows, _packed(rows, clean.outputs), (resid_pre, resid_mid, clean.final[:, -1]), room)


def ablated_cache(problem: Problem, *, room: int) -> CircuitCache:
    """What a circuit's masked run is computed on top of: every source is ablated, and read so by every destination.

    Its q, k and v are the clean run's: those of useful heads are computed, and no others are read.

    Args:
        room: Bytes that kept changes may take: see `Changes`.
    """
    rows, components = Rows.of(problem.ablated.active, problem.batch), problem.model.components
    out = _packed(rows, problem.ablated.outputs)
    x, resid_pre, resid_mid = out.input, list[Tensor](), list[Tensor]()
    for block, z, mlp in zip(components.blocks, out.z, out.mlp, strict=True):
        resid_pre.append(x)
        bias = constant(block.attention)
        x = x + attn_out(block.attention, z)
        x = x if bias is None else x + bias
        resid_mid.append(resid_pre[-1] if components.parallel else x)
        x = x + mlp
    return _cache(problem, rows, out, (resid_pre, resid_mid, x[rows.at_last]), room)


def _packed(rows: Rows, run: NodeOutputs) -> NodeOutputs:
    return NodeOutputs(rows.pack(run.input), tuple(map(rows.pack, run.z)), tuple(map(rows.pack, run.mlp)))


def _cache(
    problem: Problem, rows: Rows, out: NodeOutputs, streams: tuple[list[Tensor], list[Tensor], Tensor], room: int
) -> CircuitCache:
    model, clean, first = problem.model, problem.clean, rows.first
    group = model.graph.n_heads // clean.k[0].shape[0]
    ablated = _packed(rows, problem.ablated.outputs)
    return CircuitCache(
        problem.graph,
        model.components,
        rows,
        Layout(problem.batch, model.dtype),
        out,
        ablated,
        {
            "q": [q[:, :, first:].clone() for q in clean.q],
            "k": [k[:, :, first:].repeat_interleave(group, 0) for k in clean.k],
            "v": [v[:, :, first:].repeat_interleave(group, 0) for v in clean.v],
        },
        {
            "k": [k[:, :, :first].repeat_interleave(group, 0) for k in clean.k],
            "v": [v[:, :, :first].repeat_interleave(group, 0) for v in clean.v],
        },
        *streams,
        Changes(problem.graph, model.components, rows, out, ablated, room),
    )
