"""Whether ways of measuring agree about each node: exact effects, attribution, direct effects, scores and roles."""

from dataclasses import replace

from acdc.discovery.attribution.eap import at_clean
from acdc.errors import ACDCError
from acdc.evaluation.values import is_defined
from acdc.interpret.agreement import agreement
from acdc.interpret.direct import direct_attribution
from acdc.interpret.draft import empty
from acdc.interpret.explanation import Explanation
from acdc.interpret.node_probes import node_probes
from acdc.interpret.patching_maps import effects as patched
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject
from acdc.metrics import Objective, get_metric
from acdc.patching.gradient.attribution import node_effects as attributed
from acdc.patching.problem import Problem

__all__ = ["SECTION"]

Column = dict[str, float | None]


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Of the important nodes, on held-out prompts; a way that can't be taken here is a note."""
    nodes, cards = subject.important, {card.name: card for card in so_far.nodes}
    columns: dict[str, Column] = {"effect": {name: float(x.mean()) for name, x in subject.effects.items()}}
    notes, slope = list[str](), _with_slope(subject.problem).objective.metric.name
    if slope != subject.problem.objective.metric.name:
        notes.append(f"agreement: attribution is by {slope}, for {subject.problem.objective.metric.name} is flat there")
    ways = {"restores": _restores, "attribution": _attribution, "direct": _direct, "probe": _probe}
    for name, column in ways.items():
        try:
            columns[name] = column(subject)
        except ACDCError as error:
            notes.append(f"agreement: {name} can't be measured here: {error}")
    if subject.circuit.scores is not None:
        columns["edge scores"] = _scores(subject)
    if any(card.role_scores for card in cards.values()):
        columns["roles held"] = {
            name: float(sum(claim.holds is True for claim in cards[name].claims)) for name in nodes
        }
    return empty(agreement=agreement(nodes, columns), notes=notes)


def _restores(subject: Subject) -> Column:
    """How much of the metric comes back when the node alone is restored in the corrupted run, as a loss's fall."""
    problem, nodes = subject.whole, subject.important
    metric, memory = problem.objective.metric, problem.step_memory
    (found,) = patched(problem.model, problem.batch, nodes=nodes, directions="denoising", metrics=metric, memory=memory)
    gained = metric.sign * (found.patched[: len(nodes), 0].mean(1) - found.corrupt.mean())
    return dict(zip(nodes, gained.tolist(), strict=True))


def _attribution(subject: Subject) -> Column:
    """Each node's effect to first order at the clean run; by the logit difference where the metric is flat there."""
    problem = _with_slope(subject.whole)
    found = attributed(problem, at_clean, memory=problem.step_memory).mean(0)
    index = problem.model.graph.src_index
    return {name: float(found[index[name]]) for name in subject.important}


def _with_slope(problem: Problem) -> Problem:
    if not problem.objective.metric.flat_at_clean:
        return problem
    metric = get_metric("logit_diff")
    metric = metric if is_defined(metric, problem.batch) else get_metric("nll")
    return replace(problem, objective=Objective(metric, problem.batch, problem.clean.logits))


def _direct(subject: Subject) -> Column:
    """What ablating the node's edge to the logits alone takes from the answer."""
    problem = subject.problem
    towards = "difference" if bool((problem.batch.wrong >= 0).any(1).all()) else "correct"
    ablated = problem.ablated.outputs
    found = direct_attribution(problem.model, problem.batch, towards=towards, cache=problem.clean, minus=ablated)
    return {name: float(found.of(name).mean()) for name in subject.important}


def _probe(subject: Subject) -> Column:
    """How much better than the majority the probed label is read from what the node writes at the target."""
    settings = subject.settings
    train = subject.draw(settings.n_probed, settings.seed, False)
    found = node_probes(train, subject.problem, subject.important, label=settings.label, seed=settings.seed)
    return dict(found)


def _scores(subject: Subject) -> Column:
    """The sum of the scores of the node's kept edges."""
    circuit, index = subject.circuit, subject.circuit.graph.src_index
    assert circuit.scores is not None, "the circuit has scores"
    kept = (circuit.scores.nan_to_num(0.0) * circuit.mask).sum(1)
    return {name: float(kept[index[name]]) for name in subject.important}


def cost(subject: Subject) -> float:
    """Effects once more, in the other direction, a backward pass, and the prompts that probes are fitted on."""
    graph = subject.problem.model.graph
    return (
        5
        + subject.settings.n_probed / subject.problem.batch.n
        + sum(1 - graph.layer_of(name) / graph.n_layers for name in subject.important)
    )


SECTION = Section("agreement", "whether ways of measuring agree about each node", 60, measure, cost)
