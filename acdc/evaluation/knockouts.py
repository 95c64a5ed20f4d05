"""What a circuit loses without an edge, or without a node: exact, on the exact engine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from acdc.circuits.graph import kind_of
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.patching.exact.cost import Cost, cost_of
from acdc.patching.exact.reachability import reach, reading
from acdc.patching.exact.state import CircuitState, Edge
from acdc.patching.problem import Problem
from acdc.patching.rows import Rows

__all__ = [
    "STARTING",
    "Knockouts",
    "Step",
    "edges_of_node",
    "inner_nodes",
    "knock_out_edges",
    "knock_out_nodes",
    "work_of_knock_outs",
]

STARTING = 2  # masked forwards that it takes, at most, to make the exact engine's state

Step = Callable[[int, int], None]  # told (done, total) as the work proceeds


@dataclass(frozen=True)
class Knockouts:
    """Leave-one-out effects in a circuit.

    Attributes:
        effects: Rise of the problem's loss when the edge alone is removed from the circuit; positive: the circuit needs
            it. NaN where no edge is kept.
        loss: The circuit's own loss.
        forward_passes: Copies of the batch that were propagated, the circuit's own run included.
    """

    effects: Float64[Tensor, "src dst"]
    loss: float
    n_prompts: int
    forward_passes: int


def knock_out_edges(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    *,
    only: Bool[Tensor, "src dst"] | None = None,
    memory: int | None = None,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> Knockouts:
    """Remove each kept edge alone from the circuit: one question to the exact engine for each, several at a time.

    An edge into a node that no kept edge leaves has effect 0 without a question.

    Args:
        only: Of the kept edges, those to remove; all if None.
        memory: About how many bytes a question may take; the problem's own if None.
        recorder: Keeps what is measured: see `acdc.evaluation.recording`.
        progress: Told how many of the kept edges are done.
    """
    state = CircuitState(problem, mask, memory=memory)
    chosen = mask if only is None else mask & only
    edges = [(src, dst) for dst, src in chosen.T.nonzero().tolist()]
    asked = [edge for edge in edges if state.is_useful(edge[1])][::-1]  # late destinations first: they cost least
    effects = torch.full(mask.shape, torch.nan, dtype=torch.float64)
    for edge in edges:
        effects[edge] = 0.0
    done, chunks, passes = 0, list[list[Edge]](), state.forward_passes + len(asked)
    while done < len(asked):
        chunks.append(asked[done : done + _fitting(state.cost, state.memory, asked[done:])])
        done += len(chunks[-1])
    done = len(edges) - len(asked)
    for chunk, losses in zip(chunks, _losses_of_each(state, chunks, recorder), strict=True):
        for edge, loss in zip(chunk, losses, strict=True):
            effects[edge] = loss - state.loss
        done += len(chunk)
        if progress is not None:
            progress(done, len(edges))
    return Knockouts(effects, state.loss, problem.batch.n_pairs, passes)


def knock_out_nodes(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    nodes: Sequence[str],
    *,
    memory: int | None = None,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> tuple[dict[str, float], int]:
    """The rise of the loss when all kept edges of a node are removed, for each of `nodes`; and the passes it took."""
    state, effects = CircuitState(problem, mask, memory=memory), dict[str, float]()
    # without a reader, what a node reads can't matter: its outgoing edges alone are asked about
    out = [_outgoing(problem, mask, node) for node in nodes]
    asked = [edges for edges in out if edges]
    losses, passes = _losses_of_each(state, asked, recorder, together=True), state.forward_passes + len(asked)
    for i, (node, edges) in enumerate(zip(nodes, out, strict=True)):
        effects[node] = (next(losses)[0] if edges else state.loss) - state.loss
        if progress is not None:
            progress(i + 1, len(nodes))
    return effects, passes


def _outgoing(problem: Problem, mask: Bool[Tensor, "src dst"], node: str) -> list[Edge]:
    """The kept edges that leave a node, at its span where edges are split."""
    src, span = divmod(problem.graph.sites.index(node), problem.graph.n_spans)
    return [(src, dst) for dst in mask[src].nonzero()[:, 0].tolist() if dst % problem.graph.n_spans == span]


def work_of_knock_outs(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    *,
    of: Bool[Tensor, "src dst"] | None = None,
    memory: int | None = None,
) -> float:
    """What `knock_out_edges` comes to in masked forwards of the circuit `of`, by default `mask` itself.

    A question takes as long as what lies behind the destinations that are asked about together: the engine's own count
    of operations says which share of a forward that is.
    """
    cost = _costs(problem, mask)
    asked = [(src, dst) for dst, src in mask.T.nonzero().tolist()][::-1]
    whole = _costs(problem, mask if of is None else of)(set(range(mask.shape[1]))).flops
    done, operations = 0, 0
    while done < len(asked):
        n = _fitting(cost, memory or problem.step_memory, asked[done:])
        operations += n * cost({dst for _, dst in asked[done : done + n]}).flops
        done += n
    return STARTING + operations / whole


def _costs(problem: Problem, mask: Bool[Tensor, "src dst"]) -> Callable[[set[int]], Cost]:
    """What a question about edges into some destinations takes, as `CircuitState.cost` says it of its circuit."""
    graph, kept, rows = problem.graph, mask.cpu().numpy(), Rows.of(problem.ablated.active, problem.batch)
    read = reading(graph, kept).within(rows.sizes)
    return lambda dsts: cost_of(problem, reach(graph, kept, read, sorted(dsts)), rows)


def _losses_of_each(
    state: CircuitState, questions: Sequence[Sequence[Edge]], recorder: Recorder, *, together: bool = False
) -> Iterator[list[float]]:
    """What `CircuitState.losses` says, recorded; the problem's processes share what has still to be measured.

    Args:
        together: Whether a question is about all of its edges at once, not about each alone.
    """

    def removed(edges: Sequence[Edge]) -> Bool[np.ndarray, "copies edges"] | None:
        return np.ones((1, len(edges)), bool) if together else None

    measured: Iterator[list[float]] | None = None

    def measure(first: int) -> list[float]:
        nonlocal measured
        if measured is None:  # from here on nothing is recorded
            measured = state.problem.ranks.spread(
                questions[first:], lambda edges: state.losses(edges, removed(edges)).tolist()
            )
        return next(measured)

    for i, edges in enumerate(questions):
        copies = removed(edges)
        question = repr((edges, None if copies is None else copies.tolist())).encode()
        yield recorder.take(b"losses " + question, partial(measure, i))


def inner_nodes(problem: Problem, mask: Bool[Tensor, "src dst"]) -> list[str]:
    """The circuit's nodes that can be taken out: all but `input` and `logits`; with spans, those that write there."""
    graph = problem.graph
    writes = graph.writing(mask).tolist()
    idle = {name for name, kept in zip(graph.sites, writes, strict=True) if graph.spans and not kept}
    return [node for node in graph.node_names(mask) if kind_of(node) not in ("input", "logits") and node not in idle]


def edges_of_node(problem: Problem, node: str) -> Bool[Tensor, "src dst"]:
    """All edges of the model that enter or leave a node; not those into keys and values that other spans read too."""
    graph = problem.graph
    leaves = torch.tensor([name == node for name in graph.sites])
    enters = torch.tensor([[graph.sites[site] for site in sites] == [node] for sites in graph.sites_of_dst])
    return graph.edges_mask & (graph.at_sites(leaves) | enters[None, :])


def _fitting(cost: Callable[[set[int]], Cost], memory: int, edges: Sequence[Edge]) -> int:
    """How many of these questions, from the first on, fit into so many bytes at once."""
    room, dsts = 1, set[int]()
    for n, (_, dst) in enumerate(edges[:256]):
        if dst not in dsts:
            dsts.add(dst)
            room = max(1, memory // cost(dsts).memory)
        if n >= room:
            return n
    return min(len(edges), 256)
