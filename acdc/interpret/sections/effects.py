"""How much each node matters: the exact rise of the loss when its output alone is ablated."""

from acdc.interpret.draft import card, empty, estimate
from acdc.interpret.explanation import Explanation
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject

__all__ = ["SECTION"]


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Of the important nodes, on held-out prompts, with intervals."""
    graph, effects = subject.problem.model.graph, subject.effects
    return empty(nodes=[card(graph, name, effect=estimate(values)) for name, values in effects.items()])


def cost(subject: Subject) -> float:
    """A node costs the layers behind it."""
    graph = subject.problem.model.graph
    return sum(1 - graph.layer_of(name) / graph.n_layers for name in subject.important)


SECTION = Section(
    "effects",
    "how much the task suffers when a node's output is ablated",
    10,
    measure,
    cost,
    brief=True,
    whole_answers=True,
)
