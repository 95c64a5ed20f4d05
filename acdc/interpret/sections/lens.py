"""What the residual stream says, layer by layer: the logit lens."""

from acdc.interpret.draft import empty
from acdc.interpret.explanation import Explanation
from acdc.interpret.lenses import read_lens
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject

__all__ = ["SECTION"]

SHOWN = 2  # prompts that are shown position by position


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """At the target the mean over the held-out prompts; and of the first ones every position."""
    model, batch = subject.problem.model, subject.problem.batch
    mean = read_lens(model, batch, by_position=False, cache=subject.problem.clean, progress=subject.tell)
    shown = min(SHOWN, subject.settings.examples, batch.n)
    each = read_lens(model, batch.select(range(shown)), progress=subject.tell)
    return empty(lenses=[mean.section(None), *(each.section(i) for i in range(shown))])


def cost(subject: Subject) -> float:
    """Products with the unembedding, for each layer."""
    model, batch = subject.problem.model, subject.problem.batch
    tokens = batch.n + SHOWN * batch.n_pos
    weights = sum(parameter.numel() for parameter in model.hf.parameters())
    per_token = (model.graph.n_layers + 1) * model.components.unembed.numel() / weights
    return 2 * per_token * tokens / (batch.n * batch.n_pos)


SECTION = Section("lens", "what each layer would answer", 40, measure, cost)
