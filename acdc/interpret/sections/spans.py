"""At which spans nodes matter: the exact rise of the loss when a node's output is ablated at one span alone."""

from acdc.interpret.draft import card, empty, estimate
from acdc.interpret.explanation import Explanation
from acdc.interpret.node_spans import cards_at_spans
from acdc.interpret.places import spans_of
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject

__all__ = ["SECTION"]


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Of the important nodes, on held-out prompts, with intervals; nothing where the task names no spans."""
    graph, places = subject.problem.model.graph, _places(subject)
    sites = [f"{node}@{span}" for node, spans in places.items() for span in spans]
    effects = subject.effects_of(sites)
    return empty(
        nodes=[
            card(graph, node, spans={span: estimate(effects[f"{node}@{span}"]) for span in spans})
            for node, spans in places.items()
            if spans
        ]
    )


def _places(subject: Subject) -> dict[str, list[str]]:
    """Of each important node the spans at which it can matter: where the ablated run can differ from the clean one and,
    of a circuit whose edges are split, where it writes."""
    spans, active = spans_of(subject.problem.batch), subject.problem.ablated.active
    if spans is None:
        return {}
    can = [name for i, name in enumerate(spans.names) if bool((active & (spans.ids == i)).any())]
    writes = {each.name: each.writes_at for each in cards_at_spans(subject.circuit, subject.important)}
    return {node: [span for span in can if span in writes.get(node, can)] for node in subject.important}


def cost(subject: Subject) -> float:
    """A node costs the layers behind it, at the span and all that comes later."""
    graph = subject.problem.model.graph
    shares = ((1 - graph.layer_of(node) / graph.n_layers) * len(spans) for node, spans in _places(subject).items())
    return sum(shares, start=0.0)


SECTION = Section("spans", "at which spans nodes matter", 15, measure, cost, whole_answers=True)
