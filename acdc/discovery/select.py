"""From scores to a circuit: which edges to keep.

| way | keeps |
|---|---|
| `retention` | the fewest best edges that keep a given share of the metric, measured |
| `top-n` | the n best edges |
| `greedy` | n edges, from the logits back: always the best one into a node that the circuit holds, as EAP-IG's greedy |
| `threshold` | the edges of at least a given score |

The best edges are those of the largest scores in size or, if `signed`, in sign too; with `positive_share`, so many of
them are positive and the others negative, each side by size.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.circuits.ranking import first_edges, ranked_edges
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.cautions import cautions
from acdc.discovery.take import Taken, take
from acdc.errors import RunError
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.ranges import Count, Range, Share

__all__ = ["RETENTION", "Selected", "consistent", "greedy_order", "retain", "select", "with_positive_share"]

Scores = Float[Tensor, "src dst"]
Mask = Bool[Tensor, "src dst"]
Order = Int[Tensor, " edges"]  # flat indices of [src, dst]: a circuit of n edges is the first n
RETENTION = 0.9  # the share to keep where none is named
LARGE = 20_000  # edges of a model, above which a circuit of a fixed size is the default, not one of a share
LARGE_SIZE = 500  # that size
MORE = "ask for more edges (n_edges)"
LESS = "ask for fewer edges (n_edges)"
Way = Literal["retention", "top-n", "greedy", "threshold"]


class Selected(NamedTuple):
    """A circuit, the masked forward passes that it took, and what was measured of it."""

    mask: Mask
    forward_passes: int
    diagnostics: dict[str, Any]
    warnings: tuple[str, ...] = ()
    resolved: Mapping[str, Any] = MappingProxyType({})


def select(
    problem: Problem,
    found: EdgeScores,
    *,
    select: Way | None = None,
    retention: Annotated[float, Range(0, 1, open_below=True)] | None = None,
    n_edges: Count | None = None,
    threshold: float | None = None,
    signed: bool = False,
    positive_share: Share | None = None,
    resamples: Annotated[int, Range(0, 10_000)] = 0,
    agreement: Annotated[float, Range(0.5, 1, open_below=True)] = 0.95,
    prune: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> Selected:
    """Choose a circuit's edges by their scores.

    Args:
        select: retention (the fewest best edges that keep a share of the metric), top-n, greedy (from the logits back,
            connected) or threshold. If not given, n_edges means top-n, threshold means threshold, retention means
            retention, and none of them retention in models of up to 20,000 edges, and top-n of 500 in larger ones.
        retention: For retention, the share to keep of the metric's way from all edges removed (0) to none removed (1);
            0.9 if not given.
        n_edges: For top-n and greedy, how many edges the circuit has: the ranking is gone through until so many lie on
            paths from the input to the logits.
        threshold: For threshold, the least score, in the metric's unit.
        signed: The best edges are those of the highest score, not of the largest size.
        positive_share: Of the best edges, so many have positive scores and the others negative ones.
        resamples: Of the prompts (bootstrap); only edges whose score keeps its sign in nearly all of them can be
            chosen. 0 for no such filter.
        agreement: In which share of the resamples the sign must be the same.
        prune: Take away the edges that change nothing of what the circuit computes: see `Problem.prune`.

    Raises:
        RunError: An option is out of range or doesn't belong to this way, or no choice of edges keeps enough.
    """
    graph, resolved = problem.model.graph, dict[str, Any]()
    named = any(option is not None for option in (select, retention, n_edges, threshold))
    if graph.n_edges > LARGE and not named:
        n_edges = LARGE_SIZE
        resolved = {"select": "top-n", "n_edges": n_edges}
    way = _way(select, n_edges, threshold)
    _check(graph, way, retention, n_edges, threshold, signed, positive_share, resamples, agreement)
    allowed, diagnostics = graph.edges_mask, dict[str, Any]()
    if resamples:
        assert found.groups is not None, "scores by groups of prompts are needed to resample prompts"
        allowed = consistent(found.groups, resamples=resamples, agreement=agreement, seed=problem.seed) & allowed
        diagnostics["sign_consistent_edges"] = int(allowed.sum())
    cut = problem.prune if prune else torch.clone
    if way == "threshold":
        size = found.scores if signed else found.scores.abs()
        mask = cut(allowed & (size >= (threshold or 0.0)))
        more = "lower the threshold, or take select=greedy with n_edges, which grows a circuit from the logits back"
        return Selected(mask, 0, diagnostics, tuple(cautions(problem, mask, more=more, less="raise the threshold")))
    if way == "greedy":
        order = greedy_order(graph, found.scores, signed=signed, allowed=allowed)
    else:
        order = ranked_edges(graph, found.scores, signed=signed, among=allowed)
        order = order if positive_share is None else with_positive_share(order, found.scores, positive_share)
    if way == "retention":
        kept = retain(problem, order, RETENTION if retention is None else retention, cut=cut, progress=progress)
        less = "give the size that you want (n_edges), or another scorer"
        told = cautions(problem, kept.mask, more="ask for a larger share (retention), or give n_edges", less=less)
        return kept._replace(diagnostics=diagnostics | kept.diagnostics, warnings=tuple(told))
    wanted = n_edges or 0
    if prune:
        taken = take(graph, order, wanted, from_input=problem.ablated.coherent)
    else:
        taken = Taken(first_edges(graph, order, wanted), min(wanted, len(order)))
    diagnostics["edges_gone_through"] = taken.gone_through
    told = [*_shortfall(taken.mask, wanted, len(order), prune), *cautions(problem, taken.mask, more=MORE, less=LESS)]
    return Selected(taken.mask, 0, diagnostics, tuple(told), resolved)


def _shortfall(mask: Mask, wanted: int, n_allowed: int, prune: bool) -> list[str]:
    """Why there are fewer edges than were asked for."""
    if (n := int(mask.sum())) == wanted:
        return []
    why = " and lie on paths from the input to the logits" if prune and n_allowed > n else ""
    which = f"only so many of the {n_allowed:,} edges whose sign holds in the resamples can be joined{why}"
    return [f"the circuit has {n:,} edges instead of {wanted:,}: {which}; resample less, or lower agreement"]


def _way(way: Way | None, n_edges: int | None, threshold: float | None) -> Way:
    """The way that the other options imply where none is named."""
    if way is not None:
        return way
    return "top-n" if n_edges is not None else "threshold" if threshold is not None else "retention"


def _check(
    graph: Graph,
    way: Way,
    retention: float | None,
    n_edges: int | None,
    threshold: float | None,
    signed: bool,
    positive_share: float | None,
    resamples: int,
    agreement: float,
) -> None:
    if retention is not None and way != "retention":
        raise RunError(f"retention can't be given with select={way}")
    if retention is not None and not 0 < retention <= 1:
        raise RunError(f"retention must be a share above 0 and up to 1, not {retention!r}")
    if way in ("top-n", "greedy"):
        if n_edges is None:
            raise RunError(f"select={way} needs n_edges: how many edges to keep")
        if not 1 <= n_edges <= graph.n_edges:
            raise RunError(f"n_edges must be from 1 to the model's {graph.n_edges} edges, not {n_edges!r}")
    elif n_edges is not None:
        raise RunError(f"n_edges can't be given with select={way}; use top-n or greedy")
    if way == "threshold" and threshold is None:
        raise RunError("select=threshold needs threshold: the least score of a kept edge")
    if way != "threshold" and threshold is not None:
        raise RunError(f"threshold can't be given with select={way}")
    if positive_share is not None:
        if way in ("threshold", "greedy") or signed:
            raise RunError("positive_share goes with select=top-n and select=retention, without signed")
        if not 0 <= positive_share <= 1:
            raise RunError(f"positive_share must be a share from 0 to 1, not {positive_share!r}")
    if resamples < 0 or not 0.5 < agreement <= 1:
        raise RunError("resamples must be at least 0 and agreement a share above 0.5 and up to 1")


# -- orders of edges


def with_positive_share(order: Order, scores: Scores, share: float) -> Order:
    """The edges of an order by size, rearranged: of the first n about `share · n` have positive scores."""
    positive = scores.flatten()[order] > 0
    return torch.tensor(list(_mixed(order[positive].tolist(), order[~positive].tolist(), share)), dtype=torch.long)


def _mixed(positive: list[int], others: list[int], share: float) -> Iterator[int]:
    """Both lists in order, so that of the first n about `share · n` are of the first one, as long as both last."""
    i = j = 0
    while i < len(positive) or j < len(others):
        wanted = round(share * (i + j + 1))
        if i < len(positive) and (i < wanted or j == len(others)):
            yield positive[i]
            i += 1
        else:
            yield others[j]
            j += 1


def greedy_order(graph: Graph, scores: Scores, *, signed: bool = False, allowed: Mask | None = None) -> Order:
    """The edges in the order in which they are added from the logits back: always the best one into a node that the
    circuit holds already (Hanna et al. 2024, section 3)."""
    allowed = graph.edges_mask if allowed is None else allowed
    values = scores.nan_to_num(0.0)
    values = values if signed else values.abs()
    inputs = dict[int | None, list[int]]()  # node: its destinations
    for dst, node in enumerate(graph.src_of_dst):
        inputs.setdefault(node, []).append(dst)
    heap, held, order = list[tuple[float, int]](), set[int | None](), list[int]()

    def hold(node: int | None) -> None:
        held.add(node)
        for dst in inputs.get(node, []):
            for src in allowed[:, dst].nonzero()[:, 0].tolist():
                heapq.heappush(heap, (-float(values[src, dst]), src * graph.n_dst + dst))

    hold(None)  # the logits
    while heap:
        _, edge = heapq.heappop(heap)
        order.append(edge)
        if (src := edge // graph.n_dst) not in held:
            hold(src)
    return torch.tensor(order, dtype=torch.long)


# -- measured and resampled


def retain(
    problem: Problem,
    order: Order,
    share: float,
    *,
    cut: Callable[[Tensor], Tensor] = torch.clone,
    progress: Callable[[Progress], None] | None = None,
) -> Selected:
    """The smallest circuit of the first edges of `order` that keeps `share` of the metric.

    n is doubled until the circuit of the first n edges keeps enough, and then bisected. The circuit returned was
    measured and keeps enough, and the one with an edge less of the order was measured too (or is empty) and doesn't. If
    the share kept doesn't rise steadily with n, a smaller circuit that keeps enough may exist.

    Args:
        cut: Done to every circuit before it is measured, like `Problem.prune`.

    Raises:
        RunError: The metric doesn't tell the model from all edges removed, or all edges of `order` don't keep enough.
    """
    graph, objective = problem.model.graph, problem.objective
    full, empty = problem.loss(problem.clean.logits), problem.loss(problem.logits(graph.edges_mask & False))
    if not abs(empty - full) > 1e-12:
        raise RunError(
            f"{objective.metric.name} is the same for the model and with every edge removed, so no share of it can be "
            "kept; use another metric, ablation or way to select"
        )
    passes, measured = 1, dict[int, float]()

    def kept(n: int) -> float:
        nonlocal passes
        mask = cut(first_edges(graph, order, n))
        if not bool(mask.any()):
            return 0.0
        if int(mask.sum()) == graph.n_edges:
            return 1.0
        passes += 1
        measured[n] = (empty - problem.loss(problem.logits(mask))) / (empty - full)
        if progress is not None:
            most, kept = 2 * len(order).bit_length(), int(mask.sum())
            progress(Progress(passes, most, kept, "measuring circuits", unit="circuits"))
        return measured[n]

    low, high = 0, 1
    while not kept(high) >= share:
        if high == len(order):
            raise RunError(
                f"all {len(order)} edges that may be chosen keep {measured.get(high, 0.0):.3g} of "
                f"{objective.metric.name}, not {share:g}; ask for less, or filter less"
            )
        low, high = high, min(2 * high, len(order))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if kept(middle) >= share else (middle, high)
    return Selected(cut(first_edges(graph, order, high)), passes, {"retained": measured.get(high, 1.0)})


def consistent(
    groups: Float[Tensor, "groups src dst"], *, resamples: int, agreement: float = 0.95, seed: int = 0
) -> Mask:
    """Edges whose score keeps its sign when prompts are drawn anew (bootstrap over groups of prompts).

    Args:
        groups: Scores of groups of prompts, adding up to the whole score.
        agreement: In which share of the resamples the sign must be that of the whole score.

    Reference:
        Nikankin et al. 2025 (arXiv 2510.25786).
    """
    n = groups.shape[0]
    flat, whole = groups.flatten(1), groups.sum(0).flatten().sign()
    same, generator = torch.zeros_like(whole), torch.Generator().manual_seed(seed)
    for _ in range(resamples):
        counts = torch.randint(n, (n,), generator=generator).bincount(minlength=n).to(flat.dtype)
        same += (counts @ flat).sign() == whole
    needed = math.ceil(agreement * resamples - 1e-9)
    return ((same >= needed) & (whole != 0) & ~whole.isnan()).view(groups.shape[1:])
