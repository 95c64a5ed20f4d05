"""The smallest circuit of the best edges that keeps a given share of the metric, in at most 12 masked forward passes.

Circuits of the n best edges are measured at few n. The next n is where the curve would reach the threshold if it were
straight between the nearest sizes on both sides of it, in log size and in the log odds of faithfulness, as curves of a
good ranking nearly are. A side that stays twice counts half (the Illinois rule), and n is never so far to one side that
halving what is then left would take more passes than there are (as ITP does).

References: Dowell, Jarratt 1971 (Illinois); Oliveira, Takahashi 2020, ACM TOMS 47(1) (ITP).
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Protocol, runtime_checkable

from acdc.circuits.ranking import first_edges
from acdc.discovery.cautions import cautions
from acdc.discovery.selection.candidates import Candidates, Mask, Order, Selected
from acdc.errors import RunError
from acdc.options.defaults import FAITHFULNESS
from acdc.options.ranges import Range, Share
from acdc.progress import Progress

__all__ = ["MOST_PASSES", "Curve", "by_faithfulness", "smallest"]

MOST_PASSES = 12  # masked forward passes, that of the empty circuit included
NEAR = 0.01  # of its size: a circuit that large is small enough where the smallest is out of reach
LEAST_ODDS = 1e-3  # faithfulness nearer than this to 0 or 1 counts as so near, for its log odds


def by_faithfulness(
    candidates: Candidates,
    *,
    faithfulness: Annotated[float, Range(0, 1, open_below=True)] = FAITHFULNESS,
    positive_share: Share | None = None,
) -> Selected:
    """Keep the fewest best edges that keep a share of the metric.

    The circuit that is returned was measured and keeps enough. So was the circuit of one edge less of the
    ranking (or it is empty), and doesn't, in models of up to 2,000 edges (1,000, where some can't be chosen); in larger
    ones, a circuit that is smaller by about 1%. If faithfulness doesn't rise steadily with size, a smaller circuit that
    keeps enough may exist.

    Args:
        faithfulness: The share to keep of the metric's way from all edges removed (0) to none removed (1).
        positive_share: Of the best edges, so many have positive scores and the others negative ones.

    Returns:
        Diagnostics: `faithfulness`, what the circuit keeps; `curve`, all that was measured on the way, as points
        `{"n_edges", "faithfulness"}`, the smallest circuit first.

    Raises:
        RunError: The metric doesn't tell the model from all edges removed, or all edges that may be chosen don't keep
            enough.
    """
    order = candidates.order(positive_share)
    curve = _Measured.of(candidates, order)
    if not (most := curve.at(len(order))) >= faithfulness:
        raise RunError(
            f"all {len(order)} edges that may be chosen keep {most:.3g} of "
            f"{candidates.problem.objective.metric.name}, not {faithfulness:g}; ask for less, or filter less"
        )
    n = smallest(curve, len(order), faithfulness)
    mask = curve.circuit(n)
    more = "ask for a larger share (faithfulness), or give n_edges"
    less = "give the size that you want (n_edges), or another scorer"
    told = cautions(candidates.problem, mask, more=more, less=less)
    return Selected(mask, curve.passes, {"faithfulness": curve.at(n), "curve": curve.points()}, told)


@runtime_checkable
class Curve(Protocol):
    """Faithfulness by the number of edges of a ranking, with so many measurements left."""

    @property
    def left(self) -> int: ...

    def at(self, n: int) -> float: ...


def smallest(curve: Curve, n: int, wanted: float) -> int:
    """The fewest edges found that keep at least `wanted`, given that `n` do and none don't.

    Where neighbours can be told apart, measurements that are left look for smaller circuits, at halves of the size,
    which there are if faithfulness falls somewhere.
    """
    exactly = n <= 2**curve.left
    found = _crossing(curve, n, wanted, close=0.0 if exactly else NEAR)
    half = found // 2
    while exactly and 0 < half <= 2 ** (curve.left - 1):
        if curve.at(half) >= wanted:
            found = half = _crossing(curve, half, wanted, close=0.0)
        half //= 2
    return found


def _crossing(curve: Curve, n: int, wanted: float, close: float) -> int:
    """A number of edges that keeps enough, where one less doesn't, or one that is smaller by the share `close`."""
    below, above = _log_odds(wanted) - _log_odds(0.0), _log_odds(curve.at(n)) - _log_odds(wanted)
    low, high, most = 0, n, curve.left
    stayed = 0  # the side that the last measurement left where it was: -1 low, 1 high
    while high - low > max(1, close * high) and curve.left > 0:
        size = _between(low, high, below, above, curve.left, 2 * math.log1p(n) / 2**most)
        found = curve.at(size)
        apart = _log_odds(found) - _log_odds(wanted)
        if found >= wanted:
            high, above, below, stayed = size, apart, below / 2 if stayed == -1 else below, -1
        else:
            low, below, above, stayed = size, -apart, above / 2 if stayed == 1 else above, 1
    return high


def _between(low: int, high: int, below: float, above: float, left: int, finest: float) -> int:
    """The next size to measure, strictly between two.

    Args:
        below, above: How far the two are from the threshold, in log odds.
        left: Measurements that are left.
        finest: The width in log size that they shall end with.
    """
    start, end = math.log1p(low), math.log1p(high)
    share = below / (below + above) if below + above > 0 else 0.5
    straight = start + share * (end - start)
    if high - low <= 2**left:  # halving ends with neighbours
        size, reach = round(math.expm1(straight)), 2 ** (left - 1)
        size = min(max(size, high - reach), low + reach)
    else:
        reach = finest * 2 ** (left - 1)
        reachable = end - start <= 2 * reach
        size = round(math.expm1(min(max(straight, end - reach), start + reach) if reachable else (start + end) / 2))
    return min(max(size, low + 1), high - 1)


def _log_odds(faithfulness: float) -> float:
    """Log odds of a number kept away from 0 and 1; NaN counts as 0."""
    p = LEAST_ODDS if math.isnan(faithfulness) else min(max(faithfulness, LEAST_ODDS), 1 - LEAST_ODDS)
    return math.log(p / (1 - p))


@dataclass
class _Measured:
    """The curve of a ranking, measured where it is asked for; a circuit of the same size isn't measured twice."""

    candidates: Candidates
    order: Order
    full: float  # the model's loss
    empty: float  # and with every edge removed
    passes: int = 1
    by_size: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, candidates: Candidates, order: Order) -> "_Measured":
        """The two ends of the curve.

        Raises:
            RunError: They are the same.
        """
        problem = candidates.problem
        graph = problem.graph
        full, empty = problem.model_loss, problem.empty_loss
        if not abs(empty - full) > 1e-12:
            raise RunError(
                f"{problem.objective.metric.name} is the same for the model and with every edge removed, so no share "
                "of it can be kept; use another metric, ablation or way to select"
            )
        return cls(candidates, order, full, empty, by_size={0: 0.0, graph.n_edges: 1.0})

    @property
    def left(self) -> int:
        return MOST_PASSES - self.passes

    def circuit(self, n: int) -> Mask:
        """The circuit of the first n edges."""
        return self.candidates.cut(first_edges(self.candidates.problem.graph, self.order, n))

    def at(self, n: int) -> float:
        """What the circuit of the first n edges keeps."""
        mask, problem = self.circuit(n), self.candidates.problem
        size = int(mask.sum())  # of one ranking, circuits of one size are one circuit
        if size not in self.by_size:
            self.passes += 1
            self.by_size[size] = (self.empty - problem.loss(problem.logits(mask))) / (self.empty - self.full)
            if self.candidates.progress is not None:
                self.candidates.progress(
                    Progress(self.passes, MOST_PASSES, size, "measuring circuits", unit="circuits")
                )
        return self.by_size[size]

    def points(self) -> list[dict[str, float | int | None]]:
        """All that was measured, and the two ends; None for what is no finite number."""
        return [
            {"n_edges": size, "faithfulness": found if math.isfinite(found) else None}
            for size, found in sorted(self.by_size.items())
        ]
