"""Parsed sentences of our own, written by templates that say each word's head: the parse is true by construction.

A word of a template is `what/head/relation`: a class of words or the word itself, the position of its head from 1 (0:
the root), and the relation's name in Universal Dependencies.
"""

import random
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.interpret.attention_pass import LayerAttention, attention_pass
from acdc.interpret.evidence.drawn import before_text
from acdc.interpret.evidence.spelling import spelled
from acdc.interpret.unmeasured import Unmeasured
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch

__all__ = ["RELATIONS", "TEMPLATES", "Arc", "Sentences", "parsed"]

TEMPLATES = (
    "D/2/det N/3/nsubj V/0/root D/5/det N/3/obj",
    "D/3/det A/3/amod N/4/nsubj V/0/root D/6/det N/4/obj",
    "D/4/det A/4/amod A/4/amod N/5/nsubj V/0/root D/8/det A/8/amod N/5/obj",
    "D/2/det N/6/nsubj P/5/case D/5/det N/2/nmod V/0/root D/8/det N/6/obj",
    "D/2/det N/4/nsubj R/4/advmod V/0/root D/6/det N/4/obj",
    "D/2/det N/4/nsubj had/4/aux V/0/root D/7/det A/7/amod N/4/obj",
    "D/2/det N/3/nsubj V/0/root D/5/det N/3/obj P/8/case D/8/det N/3/obl",
    "D/2/det N/7/nsubj that/4/nsubj V/2/relcl D/6/det N/4/obj V/0/root D/9/det N/7/obj",
    "R/4/advmod D/3/det N/4/nsubj V/0/root D/7/det A/7/amod N/4/obj",
    "D/3/det A/3/amod N/8/nsubj P/7/case D/7/det A/7/amod N/3/nmod V/0/root D/10/det N/8/obj",
    "D/2/det N/6/nsubj and/5/cc D/5/det N/2/conj V/0/root D/8/det N/6/obj",
    "D/2/det N/5/nsubj had/5/aux R/5/advmod V/0/root D/8/det A/8/amod N/5/obj P/11/case D/11/det N/5/obl",
)
WORDS = {
    "D": "the a this that every".split(),
    "N": "dog teacher farmer boat letter window garden singer doctor horse painter soldier child tree bird box".split(),
    "V": "saw found liked carried painted watched moved followed touched described".split(),
    "A": "old small red quiet tall young heavy strange".split(),
    "P": "near behind under beside above".split(),
    "R": "slowly often suddenly never quickly".split(),
}
RELATIONS = ("det", "nsubj", "obj", "amod")  # those that come in many templates, at several offsets
LEAD = "Listen:"  # what rests on the first token rests here, before the sentence
EACH = 12  # sentences of each template
MOST = 32  # sentences at once


class Arc(NamedTuple):
    """Two words of a sentence, one the head of the other; numbers count sentences and words from 0."""

    sentence: int
    later: int
    earlier: int
    relation: str

    @property
    def held_out(self) -> bool:
        """Whether its sentence is of the half that chooses nothing: each template has as many in both."""
        return (self.sentence // len(TEMPLATES)) % 2 == 1


@dataclass(frozen=True)
class Sentences:
    """Which word each head looks at most, from the later word of each arc.

    Attributes:
        hits: Whether that is the earlier word of the arc.
    """

    arcs: tuple[Arc, ...]
    hits: Bool[Tensor, "layer head arc"]

    @classmethod
    def measure(cls, model: PatchableModel, seed: int) -> "Sentences":
        """One forward pass over all sentences, some at a time.

        Raises:
            Unmeasured: The tokenizer can't spell them, or they don't fit into the context.
        """
        texts, arcs = parsed(seed)
        hits = []
        for first in range(0, len(texts), MOST):
            some = texts[first : first + MOST]
            mine = [
                arc._replace(sentence=arc.sentence - first) for arc in arcs if 0 <= arc.sentence - first < len(some)
            ]
            hits.append(_hits(model, some, mine))
        return cls(tuple(arcs), torch.cat(hits, -1))


def parsed(seed: int) -> tuple[list[list[str]], list[Arc]]:
    """The sentences' words, and their arcs, in the order of the sentences."""
    rng = random.Random(f"sentences {seed}")
    texts, arcs = list[list[str]](), list[Arc]()
    for i in range(EACH * len(TEMPLATES)):
        items = [item.split("/") for item in TEMPLATES[i % len(TEMPLATES)].split()]
        texts.append([rng.choice(WORDS.get(what, [what])) for what, _, _ in items])
        for place, (_, head, relation) in enumerate(items):
            ends = sorted((place, int(head) - 1))
            if relation in RELATIONS:
                arcs.append(Arc(i, ends[1], ends[0], relation))
    return texts, arcs


def _hits(model: PatchableModel, texts: list[list[str]], arcs: list[Arc]) -> Bool[Tensor, "layer head arc"]:
    batch, words = _tokenised(model, texts)
    share = words / words.sum(1, keepdim=True).clamp_min(1)  # a word reads as its tokens do on average
    n_words = words.shape[-1]
    later = torch.ones(n_words, n_words, dtype=torch.bool).triu().to(words.device)
    rows, readers, read = (torch.tensor(x) for x in zip(*(arc[:3] for arc in arcs), strict=True))
    found = list[Tensor]()

    def visit(here: LayerAttention) -> None:
        looks = torch.einsum("npw,hnpq,nqv->hnwv", share, here.pattern.to(share), words)
        best = looks.masked_fill(later, -1).argmax(-1).cpu()
        found.append(best[:, rows, readers] == read)

    attention_pass(model, batch, batch.clean, visit)
    return torch.stack(found)


def _tokenised(model: PatchableModel, texts: list[list[str]]) -> tuple[PromptBatch, Float[Tensor, "batch pos word"]]:
    """The sentences, and which token belongs to which word."""
    lead = [*before_text(model.tokenizer), *spelled(model.tokenizer, LEAD)]
    tokens_of = [[spelled(model.tokenizer, f" {word}") for word in words] for words in texts]
    rows = [[*lead, *(token for word in words for token in word)] for words in tokens_of]
    width = max(map(len, rows))
    if model.n_context is not None and width > model.n_context:
        raise Unmeasured(f"sentences have up to {width} tokens, more than the context of {model.n_context}")
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows], device=model.device)
    real = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device).bool()
    belongs = torch.zeros(len(rows), width, max(map(len, texts)), device=model.device)
    for i, words in enumerate(tokens_of):
        column = width - sum(map(len, words))
        for j, tokens in enumerate(words):
            belongs[i, column : column + len(tokens), j] = 1
            column += len(tokens)
    return PromptBatch(ids, ids, real, ids[:, -1:], ids[:, :0], "sentences"), belongs
