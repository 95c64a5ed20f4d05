"""A circuit from scores, by one of several ways.

| way | keeps |
|---|---|
| `faithfulness` | the fewest best edges that keep a given share of the metric, measured |
| `top-n` | the n best edges |
| `greedy` | n edges, from the logits back: always the best one into a node that the circuit holds, as EAP-IG's greedy |
| `threshold` | the edges of at least a given score |

The best edges are those of the largest scores in size or, if `signed`, in sign too; with `positive_share`, so many of
them are positive and the others negative, each side by size.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from acdc.circuits.graph import Graph
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.options import REQUIRED, Option, options_of
from acdc.discovery.selection.by_faithfulness import by_faithfulness
from acdc.discovery.selection.by_size import greedy, top_n
from acdc.discovery.selection.by_threshold import by_threshold
from acdc.discovery.selection.candidates import Candidates, Selected
from acdc.discovery.selection.resampling import consistent
from acdc.errors import RunError, unknown_name
from acdc.options.defaults import LARGE, LARGE_SIZE
from acdc.options.ranges import OneOf, Range, checked
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.registry import Registry

__all__ = ["WAYS", "select", "select_options"]

WAYS: Registry[Callable[..., Selected]] = Registry(
    "way to select",
    {"faithfulness": by_faithfulness, "top-n": top_n, "greedy": greedy, "threshold": by_threshold},
    aliases={"retention": "faithfulness"},  # in runs of older versions
)
Resamples = Annotated[int, Range(0, 10_000)]
Agreement = Annotated[float, Range(0.5, 1, open_below=True)]
MEANT_BY = {"n_edges": "top-n", "threshold": "threshold", "faithfulness": "faithfulness"}  # if `select` isn't given


def select(
    problem: Problem,
    found: EdgeScores,
    *,
    select: Annotated[str, OneOf(WAYS)] | None = None,
    signed: bool = False,
    resamples: Resamples = 0,
    agreement: Agreement = 0.95,
    prune: bool = True,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Selected:
    """Choose a circuit's edges by their scores.

    Args:
        select: faithfulness (the fewest best edges that keep a share of the metric), top-n, greedy (from the logits
            back, connected) or threshold. If not given, n_edges means top-n, threshold means threshold, faithfulness
            means faithfulness, and none of them faithfulness in models of up to 20,000 edges, and top-n of 500 in
            larger ones.
        signed: The best edges are those of the highest score, not of the largest size.
        resamples: Of the prompts (bootstrap); only edges whose score keeps its sign in nearly all of them can be
            chosen. 0 for no such filter.
        agreement: In which share of the resamples the sign must be the same.
        prune: Take away the edges that change nothing of what the circuit computes: see `Problem.prune`.
        options: Those of the way; one that is None isn't given.

    Raises:
        UnknownNameError: There is no such way or option.
        RunError: An option is out of range or doesn't belong to this way, or no choice of edges keeps enough.
    """
    graph, given = problem.graph, {name: value for name, value in options.items() if value is not None}
    resolved = _default_of_large(graph) if select is None and not given.keys() & MEANT_BY else {}
    given |= {name: value for name, value in resolved.items() if name != "select"}
    name = select or next((way for option, way in MEANT_BY.items() if option in given), "faithfulness")
    way = WAYS.find(name)
    given = _checked(name, options_of(way), given)
    among, diagnostics = graph.edges_mask, dict[str, Any]()
    checked("agreement", Agreement, agreement)
    if checked("resamples", Resamples, resamples):
        assert found.groups is not None, "scores by groups of prompts are needed to resample prompts"
        among = consistent(found.groups, resamples=resamples, agreement=agreement, seed=problem.seed) & among
        diagnostics["sign_consistent_edges"] = int(among.sum())
    chosen = way(Candidates(problem, found.scores, among, signed, prune, progress), **given)
    return replace(chosen, diagnostics={**diagnostics, **chosen.diagnostics}, resolved=resolved)


def select_options() -> dict[str, Option]:
    """The options of every way, none of which is given unless it is asked for, and those of `select` itself."""
    ways = {name: options_of(way) for name, way in WAYS.items()}
    found = dict[str, Option]()
    for option in (option for options in ways.values() for option in options.values()):
        by = " or ".join(name for name, options in ways.items() if option.name in options)
        default = "" if option.default in (REQUIRED, None) else f" {option.default:g} if not given."
        summary = f"With select={by}: {option.summary}{default}"
        found.setdefault(option.name, Option(option.name, None, option.kind | None, summary))
    return found | options_of(select)


def _default_of_large(graph: Graph) -> dict[str, Any]:
    """What is taken in a large model if nothing is asked for: a share would keep tens of thousands of edges there."""
    return {"select": "top-n", "n_edges": LARGE_SIZE} if graph.n_edges > LARGE else {}


def _checked(way: str, own: dict[str, Option], given: dict[str, Any]) -> dict[str, Any]:
    """The options of a way, as its signature says.

    Raises:
        UnknownNameError: No way has such an option.
        RunError: An option belongs to another way, is out of range, or is missing.
    """
    every = select_options()
    for name in given:
        if name not in every:
            raise unknown_name("option of select", name, every)
        if name not in own:
            others = " or ".join(other for other, function in WAYS.items() if name in options_of(function))
            raise RunError(f"{name} can't be given with select={way}; it goes with {others}")
    for option in own.values():
        if option.default is REQUIRED and option.name not in given:
            raise RunError(f"select={way} needs {option.name}: {option.summary}")
    return {name: checked(name, own[name].kind, value) for name, value in given.items()}
