"""How many bytes a run holds at its peak, counted from sizes alone, before it starts.

    peak       = program + weights + runs + scores + max(search, measuring)
    runs       = n p [L (3 H + 2 K + 4 D) + 3 D] b + n V (b + 24)    the clean run, and what ablated sources write
    second     = n p L (H + 2 K + 2 D) b                             what else the corrupted run holds till its end
    background = n p [L (2 H + 2 K + 3 D) + 2 D] b                   what masked passes start from
    state      = n p [L (5 H + 4 D) + 2 D] b + min(memory, n p (sources) D b)    a circuit on the exact engine
    scores     = 4 (sources x destinations x spans) 8

for n prompts of p positions, L layers, H = n_heads d_head, K = n_kv d_head, D = d_model, V tokens of the vocabulary and
b bytes a number. What is stacked on top is bounded by `memory`, and a step takes as many prompts as fit into it.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from acdc.circuits.graph import Graph
from acdc.errors import ModelError, counted
from acdc.models import PatchableModel
from acdc.models.memory import PROGRAM, free_bytes, gib, held_bytes
from acdc.options.defaults import MASKED_MEMORY, MEMORY
from acdc.patching.prompt_blocks import block_size
from acdc.prompts.batch import PromptBatch

__all__ = ["Engine", "Footprint", "Sizes", "footprint", "gradient_bytes", "masked_bytes", "weighted_bytes"]

MOST_COPIES = 256  # of the batch, in a propagation
Engine = Literal["gradient", "exact", "weighted", "evaluation"]
"""What works on a problem; `weighted` are masked passes that are differentiated in the mask."""


def masked_bytes(graph: Graph, rows: int, itemsize: int) -> int:
    """Of a masked pass: every source's change at a prompt's rows, and a layer's heads'."""
    return (graph.n_src + 3 * graph.n_heads + 2) * rows * graph.d_model * itemsize


def weighted_bytes(graph: Graph, rows: int, n_pos: int, itemsize: int) -> int:
    """Of a prompt's masked pass and its backward pass.

    Held are, at each position: every source's change and its gradient, every destination's input, the attention
    patterns, and the insides of norms, heads and MLPs.
    """
    streams = 2 * graph.n_src + graph.n_dst + 16 * graph.n_layers
    return (rows * streams * graph.d_model + 2 * graph.n_layers * graph.n_heads * n_pos**2) * itemsize


def gradient_bytes(graph: Graph, n_pos: int, itemsize: int, runs: int = 1) -> tuple[int, int]:
    """Of a prompt's backward pass: in all, and for each head that is taken at once.

    Held are, at each position: every source's change; of each head copies of the gradients of q, k and v, and
    attention's rows; the MLP's graph, the streams of as many `runs`, the changes in head space.
    """
    per_head = n_pos * max(4, itemsize) * (12 * graph.d_model + 8 * n_pos)
    base = n_pos * max(4, itemsize) * (graph.n_src + 30 + (6 + 2 * runs) * graph.n_layers) * graph.d_model
    return base + graph.n_heads * per_head, per_head


@dataclass(frozen=True)
class Sizes:
    """All that the bytes depend on.

    Attributes:
        d_heads, d_kv: `n_heads d_head` and `n_kv d_head`.
        n, n_pos: Prompts, and positions of the longest.
        weights: Bytes of the model's weights that are held at once.
        on_cpu: The program's own memory is the model's too.
        n_spans: By how many spans edges are split.
    """

    graph: Graph
    d_heads: int
    d_kv: int
    n_vocab: int
    n: int
    n_pos: int
    itemsize: int
    weights: int
    on_cpu: bool = True
    n_spans: int = 1

    @classmethod
    def of(cls, model: PatchableModel, batch: PromptBatch) -> "Sizes":
        """Those of a batch in a model."""
        attention = model.components.blocks[0].attention
        (n_heads, _, d_head), n_kv = attention.W_Q.shape, len(attention.W_K)
        return cls(
            model.graph,
            n_heads * d_head,
            n_kv * d_head,
            len(model.components.unembed),
            batch.n,
            batch.n_pos,
            model.dtype.itemsize,
            held_bytes(model.hf, model.device),
            on_cpu=model.device.type == "cpu",
            n_spans=len(batch.spans) or 1,
        )

    def held(self, heads: int, kv: int, streams: int, once: int = 0) -> int:
        """Bytes of so many H, K and D in each layer and so many D beside, for all tokens."""
        graph = self.graph
        in_layers = graph.n_layers * (heads * self.d_heads + kv * self.d_kv + streams * graph.d_model)
        numbers = in_layers + once * graph.d_model
        return self.n * self.n_pos * numbers * self.itemsize


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak of a run, by what takes them.

    Attributes:
        program: Python and its libraries; 0 on another device than the CPU.
        runs: The clean run's activations, and what ablated sources write.
        scores: Masks and scores of all edges.
        search: What the method stacks on top.
        measuring: What the circuit's measurement does, on held-out prompts too.
        prompts_at_once: How many prompts a step takes: in a masked pass, and by gradients.
    """

    program: int
    weights: int
    runs: int
    scores: int
    search: int
    measuring: int
    prompts_at_once: tuple[int, int]

    @property
    def total(self) -> int:
        """The sum at the peak."""
        return self.program + self.weights + self.runs + self.scores + max(self.search, self.measuring)

    def __str__(self) -> str:
        masked, gradients = self.prompts_at_once
        parts = {
            "program": self.program,
            "weights": self.weights,
            "activations": self.runs + self.scores,
            "at work": max(self.search, self.measuring),
        }
        told = ", ".join(f"{name} {gib(size)}" for name, size in parts.items() if size)
        at_once = f"{counted(masked, 'prompt')} at once in masked passes, {gradients} in gradients"
        return f"about {gib(self.total)} at the peak ({told}; {at_once})"


def footprint(sizes: Sizes, engines: Collection[Engine] = (), memory: int | None = None) -> Footprint:
    """About how many bytes a run holds.

    Args:
        engines: What works on them; without any, only the runs and a masked pass are counted.
        memory: About how many bytes a step may take; what each engine takes by default if None.
    """
    graph, n, size = sizes.graph, sizes.n, sizes.itemsize
    step, masked_step = memory or MEMORY, memory or MASKED_MEMORY
    a_masked, a_gradient = masked_bytes(graph, sizes.n_pos, size), gradient_bytes(graph, sizes.n_pos, size)[0]
    masked_block = block_size("masked", graph, n, sizes.n_pos, on_cpu=sizes.on_cpu)
    gradient_block = block_size("gradient", graph, n, sizes.n_pos, on_cpu=sizes.on_cpu)
    a_weighted = weighted_bytes(graph, sizes.n_pos, sizes.n_pos, size)
    runs = sizes.held(3, 2, 4, once=3) + n * sizes.n_vocab * (size + 24)
    second = sizes.held(1, 2, 2)
    masked = sizes.held(2, 2, 3, once=2) + _step(masked_step, masked_block, a_masked)
    measuring = 2 * masked + runs + second
    a_copy = n * graph.n_src * sizes.n_pos * graph.d_model * size
    exact = sizes.held(5, 0, 4, once=2) + a_copy * _at_once(step, MOST_COPIES, a_copy) + min(step, a_copy)
    on_top: dict[Engine, int] = {
        "gradient": _step(step, gradient_block, a_gradient),
        "weighted": masked + _step(masked_step, n, a_weighted),
        "exact": exact + (masked if len(engines) > 1 else 0),  # it goes on from masked passes
        "evaluation": measuring + exact,
    }
    return Footprint(
        program=PROGRAM if sizes.on_cpu else 0,
        weights=sizes.weights,
        runs=runs,
        scores=4 * graph.n_src * graph.n_dst * sizes.n_spans * 8,
        search=max(second, masked, *(on_top[engine] for engine in engines)),
        measuring=measuring if engines else 0,
        prompts_at_once=(_at_once(masked_step, masked_block, a_masked), _at_once(step, gradient_block, a_gradient)),
    )


def check_footprint(
    model: PatchableModel, batch: PromptBatch, engines: Collection[Engine] = (), memory: int | None = None
) -> Footprint:
    """The bytes that a run will hold, if it can.

    Raises:
        ModelError: They aren't there; the message says what is needed, what there is, and what to do.
    """
    sizes = Sizes.of(model, batch)
    needed, room = footprint(sizes, engines, memory), free_bytes(model.device, own=True)
    if room is None or needed.total <= room:
        return needed
    fits = [n for n in range(1, batch.n) if footprint(replace(sizes, n=n), engines, memory).total <= room]
    fewer = f"at most {counted(max(fits), 'prompt')} (--n)" if fits else "shorter prompts"
    less = "" if memory is not None and memory <= MEMORY // 4 else f"a smaller --memory than {gib(memory or MEMORY)}, "
    narrow = "" if model.dtype.itemsize <= 2 else "--dtype bfloat16, "
    raise ModelError(
        f"{model.name!r} on {counted(batch.n, 'prompt')} takes {needed}, and {model.device} has {gib(room)}; "
        f"use {fewer}, {less}{narrow}--offload, or another device"
    )


def _step(memory: int, n: int, a_prompt: int) -> int:
    """Bytes of a step: one prompt at least, and no more than all."""
    return a_prompt * _at_once(memory, n, a_prompt)


def _at_once(memory: int, n: int, a_prompt: int) -> int:
    return max(1, min(n, memory // a_prompt))
