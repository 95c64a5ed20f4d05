"""Where heads look: their attention on example prompts, and what the target reads."""

import torch

from acdc.interpret.draft import card, empty
from acdc.interpret.explanation import Explanation, NodeCard, Pattern, TokenShare
from acdc.interpret.patterns import AttentionPatterns, attention_patterns
from acdc.interpret.places import Regions, regions_of
from acdc.interpret.sections.section import Section
from acdc.interpret.subject import Subject

__all__ = ["SECTION"]

LONGEST = 256  # tokens of a prompt whose pattern is shown
AT_ONCE = 16  # heads
FEW = 0.01  # attention that isn't worth a line


def measure(subject: Subject, so_far: Explanation) -> Explanation:
    """Of the important heads: patterns on the first held-out prompts, and on all of them the target's attention."""
    model, batch, heads, cards = subject.problem.model, subject.problem.batch, subject.heads, list[NodeCard]()
    shown = [i for i in range(min(subject.settings.examples, batch.n)) if int(batch.lengths[i]) <= LONGEST]
    regions = regions_of(batch)
    for first in range(0, len(heads), AT_ONCE):
        some = heads[first : first + AT_ONCE]
        found = attention_patterns(model, batch, some)
        examples = attention_patterns(model, batch.select(shown), some, value_weighted=True) if shown else None
        for head in some:
            drawn = [] if examples is None else [_pattern(examples, i, shown[i], head) for i in range(len(shown))]
            fields = {"attends": _attends(found, head, regions), "patterns": drawn}
            cards.append(card(model.graph, head, **fields))
        subject.step(first + len(some), len(heads))
    return empty(nodes=cards)


def _pattern(examples: AttentionPatterns, place: int, prompt: int, head: str) -> Pattern:
    weights, weighted = examples.encoded(place, head)
    tokens = list(examples.tokens[place])
    return Pattern(prompt=prompt, tokens=tokens, weights=weights, value_weighted=weighted)


def _attends(found: AttentionPatterns, head: str, regions: Regions) -> list[TokenShare]:
    """The mean attention from the target to each region of the prompts, the most first."""
    row = found.weights[:, found.heads.index(head), -1].double()  # [batch src]
    ids = regions.ids.cpu()
    shares = [(name, float(torch.where(ids == i, row, 0).sum(1).mean())) for i, name in enumerate(regions.names)]
    return sorted((each for each in shares if each[1] >= FEW), key=lambda each: -each[1])


def cost(subject: Subject) -> float:
    """Every head's pattern takes a run of the layers, some heads at a time."""
    return 1.5 * -(-len(subject.heads) // AT_ONCE)


SECTION = Section("attention", "where heads look", 30, measure, cost, brief=True)
