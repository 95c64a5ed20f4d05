"""Where the difference between clean and corrupted prompts is carried: node patching, by layer, position and head."""

from functools import partial

from acdc.errors import TaskError
from acdc.interpret.draft import empty
from acdc.interpret.explanation import Explanation
from acdc.interpret.patching_maps import node_maps
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject
from acdc.prompts.batch import PromptBatch

__all__ = ["SECTION"]

SITES, HEADS = ("resid_pre", "attn_out", "mlp_out"), "z"
MOST_CELLS, FEWER = 1000, 8  # of more cells, so many prompts
SPANS = 6  # about how many columns a map has


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """By the run's metric, in both directions."""
    problem, batch = subject.problem, _prompts(subject)
    metric, memory = problem.objective.metric, problem.step_memory
    patch = partial(node_maps, problem.model, batch, metrics=metric, memory=memory, progress=subject.tell)
    by_head, notes = patch(sites=HEADS), list[str]()
    try:
        found = (*patch(sites=SITES, columns=_alignment(batch)), *by_head)
    except TaskError as error:  # one prompt may be of its target alone
        found, notes = by_head, [f"there are no maps over positions: {error}"]
    return empty(maps=[each.explained() for each in found], notes=notes)


def _alignment(batch: PromptBatch) -> str | None:
    """Spans or positions, as maps align them by themselves; from the end back where they can't."""
    same = bool((batch.lengths == batch.lengths[0]).all())
    return None if same or batch.named is not None else "end"


def _prompts(subject: Subject) -> PromptBatch:
    """The held-out prompts, whole edges; fewer of them in large models."""
    batch = subject.whole.batch
    return batch.select(range(min(FEWER, batch.n))) if _cells(subject) > MOST_CELLS else batch


def _cells(subject: Subject) -> int:
    graph = subject.problem.model.graph
    return graph.n_layers * (len(SITES) * SPANS + graph.n_heads) * 2


def cost(subject: Subject) -> float:
    """A cell takes the layers behind it."""
    share = min(1.0, FEWER / subject.problem.batch.n) if _cells(subject) > MOST_CELLS else 1.0
    return 0.5 * share * _cells(subject)


SECTION = Section("maps", "where the difference between the prompts is carried", 70, measure, cost)
