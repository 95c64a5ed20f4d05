"""Needles in haystacks: a sentence with an answer, somewhere in unrelated text, and a question about it.

The model goes on greedily, and what counts is where each head looks as it writes each token (Wu et al. 2024).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.interpret.attention_pass import LayerAttention, attention_pass
from acdc.interpret.evidence.drawn import before_text
from acdc.interpret.evidence.spelling import spelled
from acdc.interpret.unmeasured import Unmeasured
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch

__all__ = ["Needle", "Needles", "needle_batch", "retrieved"]

HAY = (
    "The river runs past the old mill and under two bridges.",
    "In spring the farmers plant beans along the stone wall.",
    "A narrow road leads from the station to the market square.",
    "The library opens at nine and closes before dark.",
    "Most of the boats in the harbor are painted white.",
    "Snow covers the hills from December to the end of March.",
    "The baker sells bread, cakes and sometimes fresh cheese.",
    "Children play football behind the school in the afternoon.",
    "An old clock hangs above the door of the town hall.",
    "Every summer a small circus puts up its tent by the lake.",
    "The museum keeps maps, coins and letters of the sailors.",
    "Two buses a day connect the village with the coast.",
)
ANSWER = "The secret word of the {place} is"
PLACES = ("castle", "garden", "tower", "island", "palace", "forest", "temple", "bridge")
WORDS = """
    apple silver window tiger marble orange pencil yellow rabbit candle thunder velvet copper lemon falcon basket
    mirror winter dragon button
""".split()
N_NEEDLES, LENGTH = 8, 3  # prompts, and words of an answer
HAYSTACK = 10  # sentences, where the context has room
RECALL = 0.5  # share of the answer's tokens below which a sample doesn't count


@dataclass(frozen=True)
class Needle:
    """One prompt, and what the model made of it.

    Attributes:
        ids: The prompt and the tokens that were written.
        start: Where writing starts.
        first, stop: Where the answer stands in the needle.
    """

    ids: tuple[int, ...]
    start: int
    first: int
    stop: int

    @property
    def answer(self) -> tuple[int, ...]:
        return self.ids[self.first : self.stop]

    @property
    def recall(self) -> float:
        """The share of the answer's tokens that were written."""
        written = list(self.ids[self.start :])
        return sum(token in written for token in self.answer) / len(self.answer)


@dataclass(frozen=True)
class Needles:
    """The retrieval score of each head, over the prompts that the model answers.

    Attributes:
        answered: Those prompts.
    """

    answered: tuple[Needle, ...]
    scores: Float[Tensor, "layer head"]

    @classmethod
    def measure(cls, model: PatchableModel, seed: int) -> "Needles":
        """Write, and look where each head looked.

        Raises:
            Unmeasured: The tokenizer can't spell the text, the context is too short, or the model answers hardly any.
        """
        needles = [written(model, needle) for needle in list(_prompts(model, seed))]
        answered = tuple(needle for needle in needles if needle.recall > RECALL)
        if len(answered) < 2:
            raise Unmeasured(f"the model repeats {len(answered)} of {len(needles)} needles")
        scores = torch.stack([retrieved(model, needle) for needle in answered]).mean(0)
        return cls(answered, scores)


def _prompts(model: PatchableModel, seed: int) -> Iterator[Needle]:
    tokenizer, rng = model.tokenizer, random.Random(f"needles {seed}")
    lead = before_text(tokenizer)
    for _ in range(N_NEEDLES):
        place, words = rng.choice(PLACES), " ".join(rng.sample(WORDS, LENGTH))
        hay = rng.sample(HAY, HAYSTACK)
        at = rng.randrange(2, HAYSTACK - 2)
        told = ANSWER.format(place=place)
        before = f"{' '.join(hay[:at])} {told}"
        rest = f". {' '.join(hay[at:])} Question: what is the secret word of the {place}? Answer: {told}"
        pieces = [spelled(tokenizer, text) for text in (before, f" {words}", rest)]
        ids = (*lead, *(token for piece in pieces for token in piece))
        first = len(lead) + len(pieces[0])
        if model.n_context is not None and len(ids) + 2 * len(pieces[1]) > model.n_context:
            raise Unmeasured(f"a haystack has about {len(ids)} tokens, more than the context of {model.n_context}")
        yield Needle(ids, len(ids), first, first + len(pieces[1]))


def written(model: PatchableModel, needle: Needle) -> Needle:
    """The same with what the model writes greedily, as many tokens as the answer has and two more."""
    from transformers import GenerationConfig

    ids = torch.tensor([needle.ids], device=model.device)
    n = needle.stop - needle.first + 2
    how = GenerationConfig(max_new_tokens=n, do_sample=False, pad_token_id=0, eos_token_id=None)
    made = model.hf.generate(ids, attention_mask=torch.ones_like(ids), generation_config=how)
    return replace(needle, ids=tuple(made[0].tolist()))


def needle_batch(ids: Int[Tensor, "1 pos"]) -> PromptBatch:
    """Tokens as a batch of one prompt."""
    return PromptBatch(ids, ids, torch.ones_like(ids, dtype=torch.bool), ids[:, -1:], ids[:, :0], "needles")


def retrieved(model: PatchableModel, needle: Needle) -> Float[Tensor, "layer head"]:
    """For each head: of the written tokens, those that it looked at most as they were written, in the needle, over the
    needle's length."""
    batch = needle_batch(torch.tensor([needle.ids], device=model.device))
    ids, rows = batch.clean[0], range(needle.start - 1, len(needle.ids) - 1)
    found = list[Tensor]()

    def visit(here: LayerAttention) -> None:
        top = here.pattern[:, 0, list(rows)].argmax(-1)  # [head row]
        inside = (top >= needle.first) & (top < needle.stop)
        found.append((inside & (ids[top] == ids[[i + 1 for i in rows]])).sum(-1).double().cpu())

    attention_pass(model, batch, batch.clean, visit)
    return torch.stack(found) / (needle.stop - needle.first)
