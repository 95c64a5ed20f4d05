"""Finding a feature circuit (Marks et al. 2024): score nodes, keep the strongest, join them by edges."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from acdc.discovery.attribution.quadrature import Quadrature
from acdc.discovery.selection.by_faithfulness import MOST_PASSES
from acdc.errors import RunError, unknown_name
from acdc.features.circuits.circuit import DictionaryRecord, FeatureCircuit
from acdc.features.circuits.edges import feature_edges, n_passes
from acdc.features.circuits.effects import node_effects
from acdc.features.circuits.forecast import Forecast
from acdc.features.circuits.nodes import FeatureEdge, FeatureNode
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.runs import Errors, FeatureAblation, FeatureRuns
from acdc.features.circuits.selection import Chosen, choose
from acdc.features.circuits.steps import Step, afresh
from acdc.features.dictionary import Dictionary
from acdc.options.defaults import FAITHFULNESS
from acdc.options.ranges import Count, Range, Steps, checked
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell

__all__ = ["check_options", "find", "full_options", "record_of"]

EDGES_PER_NODE = 0.1  # Marks et al.: edges are kept from a tenth of the nodes' threshold on
STEPS, JOINED = 10, 100
GRADIENTS = "gradients"  # the first stage
WAYS: dict[str, Any] = {  # to choose nodes
    "faithfulness": Annotated[float, Range(0, 1, open_below=True)],
    "threshold": Annotated[float, Range(0, open_below=True)],
    "n_nodes": Count,
}
KINDS: dict[str, Any] = {
    **{name: kind | None for name, kind in WAYS.items()},
    "edge_threshold": Annotated[float, Range(0)] | None,
    "n_joined": Annotated[int, Range(0, 10**6)],
    "ablation": FeatureAblation,
    "errors": Errors,
    "steps": Steps,
    "quadrature": Quadrature,
}


def find(
    problem: Problem,
    dictionaries: Sequence[Dictionary],
    *,
    faithfulness: float | None = None,
    threshold: float | None = None,
    n_nodes: int | None = None,
    edge_threshold: float | None = None,
    n_joined: int = JOINED,
    ablation: FeatureAblation = "corrupt",
    errors: Errors = "frozen",
    steps: int = STEPS,
    quadrature: Quadrature = "midpoint",
    memory: int | None = None,
    step: Step = afresh,
    progress: Tell | None = None,
) -> FeatureCircuit:
    """The features that a task needs, and how they make each other.

    Nodes are features of the dictionaries and, unless errors are all kept or all removed, their errors; of all
    positions, or of the spans that the problem's edges are split by.

    Args:
        problem: Model, prompts and metric. What nodes are ablated to is said by `ablation`, not by the problem.
        dictionaries: SAEs, or transcoders of one layer; one a site.
        faithfulness, threshold, n_nodes: Give one. The share of the metric that the circuit is to keep (0.9 if none is
            given); the least effect of a node in the metric's unit; or how many nodes.
        edge_threshold: The least weight of an edge in size; a tenth of the weakest joined node's effect if not given.
        n_joined: Edges are measured between the strongest nodes alone: at most so many. Each costs a backward pass.
        ablation: corrupt (a node's value on the corrupted prompt), mean (over corrupted prompts, by position from the
            target) or zero.
        errors: frozen, running, kept or removed: see `acdc.features.circuits.runs`.
        steps, quadrature: Of integrated gradients; steps 10, quadrature right are the published ones.
        memory: About how many bytes a step may take; prompts are run in pieces that fit.
        step: What keeps finished steps, so that a stopped search goes on: see `acdc.features.circuits.steps`.

    Raises:
        ModelError: A dictionary isn't of this model, or two are of one site.
        RunError: An option is out of range, or no choice of nodes keeps enough.
    """
    ways = {"faithfulness": faithfulness, "threshold": threshold, "n_nodes": n_nodes}
    edges_asked = {"edge_threshold": edge_threshold, "n_joined": n_joined}
    gradients = {"steps": steps, "quadrature": quadrature}
    check_options(ways | edges_asked | gradients | {"ablation": ablation, "errors": errors})
    asked: dict[str, Any] = {name: value for name, value in ways.items() if value is not None}
    asked = asked or {"faithfulness": FAITHFULNESS}
    runs = FeatureRuns(problem, Placed.on(problem.model, dictionaries), ablation, errors, memory)
    records = {each.writes[0]: record_of(each) for each in dictionaries}  # as given, whatever the model's dtype
    n_sites, n_pieces = len(runs.placed.sites), len(runs.pieces)
    forecast = Forecast(runs, steps, min(n_joined, n_nodes or n_joined), "faithfulness" in asked)
    found = node_effects(
        runs,
        steps=steps,
        quadrature=quadrature,
        step=forecast.told(step, GRADIENTS, progress),
        note=_counting(progress, GRADIENTS, n_sites * n_pieces, "sites"),
    )
    ranked = found.ranked(errors=errors in ("frozen", "running"))
    circuits = _counting(progress, "measuring circuits", MOST_PASSES, "circuits")
    chosen = choose(runs, ranked, **asked, step=step, note=circuits)
    joined = [name for name, _ in chosen.nodes[:n_joined]]
    passes = n_passes(joined, runs.placed.sites, steps)
    note = _counting(progress, "edges", passes * n_pieces, "backward passes")
    edges = (
        feature_edges(runs, found, joined, steps=steps, quadrature=quadrature, step=step, note=note) if joined else []
    )
    least = _least(chosen, n_joined) if edge_threshold is None else edge_threshold
    return FeatureCircuit(
        model=problem.model.name,
        task=problem.batch.task,
        metric=problem.objective.metric.name,
        ablation=ablation,
        errors=errors,
        spans=problem.batch.spans,
        dictionaries=tuple(records[site] for site in runs.placed.sites),
        nodes=tuple(FeatureNode(str(name), effect) for name, effect in chosen.nodes),
        edges=tuple(sorted((edge for edge in edges if abs(edge.weight) >= least), key=_size)),
        n_candidates=len(ranked),
        n_joined=len(joined),
        n_prompts=problem.batch.n_pairs,
        prompts_sha256=problem.batch.fingerprint,
        told=chosen.told | {"error_share": found.error_share},
        settings={"steps": steps, "quadrature": quadrature, "edge_threshold": least},
        cost={"backward_passes": found.passes + passes, "forward_passes": chosen.passes},
    )


def record_of(dictionary: Dictionary) -> DictionaryRecord:
    """What a circuit's file says of a dictionary."""
    weights = dictionary.encoder.detach().double().cpu().contiguous()
    return DictionaryRecord(
        dictionary.name,
        str(dictionary.reads),
        str(dictionary.writes[0]),
        dictionary.n_features,
        hashlib.sha256(weights.numpy().tobytes()).hexdigest(),
    )


def check_options(options: Mapping[str, Any]) -> None:
    """Check options of `find`, before anything is loaded for it.

    Raises:
        RunError: One is out of range, or several ways to choose nodes are given.
        UnknownNameError: There is no such option or choice.
    """
    for name, value in options.items():
        if name not in KINDS:
            raise unknown_name("option of a feature circuit", name, KINDS)
        checked(name, KINDS[name], value)
    if len(given := [name for name in WAYS if options.get(name) is not None]) > 1:
        raise RunError(f"{' and '.join(given)} are different ways to choose nodes: give one of them")


def full_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `find`, with the defaults of those that aren't given."""
    defaults = inspect.signature(find).parameters
    return {name: options.get(name, defaults[name].default) for name in KINDS}


def _least(chosen: Chosen, n_joined: int) -> float:
    return EDGES_PER_NODE * min((abs(effect) for _, effect in chosen.nodes[:n_joined]), default=0.0)


def _size(edge: FeatureEdge) -> float:
    return -abs(edge.weight)


def _counting(progress: Tell | None, stage: str, total: int, unit: str) -> Callable[..., None]:
    """What to call behind steps of a stage, with how many these were."""
    done = 0

    def note(n: int = 1) -> None:
        nonlocal done
        done += n
        if progress is not None:
            progress(Progress(done, max(total, done), stage=stage, unit=unit))

    return note
