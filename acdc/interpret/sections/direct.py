"""What each node writes towards the answer directly: direct logit attribution."""

from acdc.errors import TaskError
from acdc.interpret.direct import DirectAttribution, direct_attribution
from acdc.interpret.draft import card, empty, estimate
from acdc.interpret.explanation import Explanation
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject

__all__ = ["SECTION"]


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Of all nodes of the circuit, on held-out prompts, with intervals."""
    found = attributed(subject)
    graph = subject.problem.model.graph
    cards = [card(graph, name, direct=estimate(found.of(name).double().cpu().numpy())) for name in subject.nodes]
    notes = ["direct effects are on the correct answers' logit: the task lists no wrong ones"]
    return empty(nodes=cards, extra={"direct": found.towards}, notes=notes if found.towards == "correct" else [])


def attributed(subject: Subject) -> DirectAttribution:
    """Towards the logit difference, or the correct answers' logit where the task lists no wrong ones."""
    problem = subject.problem
    try:
        return direct_attribution(problem.model, problem.batch, cache=problem.clean)
    except TaskError:
        return direct_attribution(problem.model, problem.batch, towards="correct", cache=problem.clean)


SECTION = Section(
    "direct", "what a node writes towards the answer directly", 20, measure, lambda subject: 0.1, brief=True
)
