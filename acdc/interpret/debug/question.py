"""The question about one prompt as a batch: the prompt, its twin if it has one, and the two answers to compare."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from acdc.errors import TaskError
from acdc.models import PatchableModel
from acdc.prompts.answers import doubtful_answers
from acdc.prompts.batch import PromptBatch
from acdc.prompts.chat import templated
from acdc.prompts.messages import asked
from acdc.prompts.pairs import PromptPair, checked
from acdc.prompts.texts import text_batch
from acdc.prompts.tokens import continuation, names_of, pieces

__all__ = ["Question"]


@dataclass(frozen=True)
class Question:
    """A prompt of a batch of one, and what is to be known of how it was read.

    Attributes:
        has_twin: Whether the batch's corrupted side is another prompt; else it is the clean one again.
    """

    batch: PromptBatch
    has_twin: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def make(
        cls,
        model: PatchableModel,
        prompt: str | Sequence[Any],
        answer: str | int | None = None,
        wrong: str | int | None = None,
        *,
        corrupt: str | Sequence[Any] | None = None,
        chat: bool = False,
        system: str | None = None,
        bos: bool | None = None,
    ) -> "Question":
        """Read and check the prompt.

        Args:
            prompt, corrupt: Text, token ids or chat messages; both with equally many tokens.
            answer: The right answer: text or a token id, the model's own first choice if None. Of a text of several
                tokens the first is compared.
            wrong: The wrong one; the most probable other token if None.
            chat: Whether the texts are a user's messages; `system` is the system message before them.
            bos: What stands before a text, as in `PromptBatch.from_pairs`.

        Raises:
            TaskError: The prompts or answers can't be used, or both answers begin with the same token.
        """
        if system is not None and not chat:
            raise TaskError("a system message goes with chat messages only (chat=True, --chat)")
        clean, twin = (asked(side, system) if chat and isinstance(side, str) else side for side in (prompt, corrupt))
        batch = _alone(model.tokenizer, clean, bos)
        model.check_batch(batch)
        right, foil, notes = _answers(
            model, batch, prompt if isinstance(prompt, str) and not chat else "", answer, wrong
        )
        if twin is not None and clean is not None:
            pair = PromptPair(clean, twin, [right], [foil])
            batch = PromptBatch.from_pairs([pair], model.tokenizer, task_name="the prompt", bos=bos)
            model.check_batch(batch)
        else:
            batch = replace(batch, correct=torch.tensor([[right]]), wrong=torch.tensor([[foil]]))
        return cls(batch, twin is not None, (*notes, *batch.notes))


def _alone(tokenizer: Any, prompt: Any, bos: bool | None) -> PromptBatch:
    """The prompt without a twin and without answers."""
    pair = templated(checked(PromptPair(prompt, prompt, [0]), "the prompt"), tokenizer, "the prompt")
    if isinstance(pair.clean, str):
        return text_batch([pair.clean], tokenizer, bos=bos, name="the prompt")
    if not pair.clean:
        raise TaskError("the prompt is empty")
    ids, none = torch.tensor([list(pair.clean)]), torch.empty(1, 0, dtype=torch.long)
    return PromptBatch(ids, ids, torch.ones_like(ids, dtype=torch.bool), none, none, task="the prompt")


def _answers(
    model: PatchableModel, batch: PromptBatch, text: str, answer: str | int | None, wrong: str | int | None
) -> tuple[int, int, list[str]]:
    """The tokens to compare, and what is to be told of how they were chosen."""
    batch, notes = batch.to(model.device), list[str]()
    with torch.no_grad():
        order = model.hf(batch.clean, attention_mask=batch.attention.long()).logits[0, -1].argsort(descending=True)
    order = order[: len(model.components.unembed)].tolist()
    right = order[0] if answer is None else _token(model.tokenizer, answer, text, notes)
    foil = next(t for t in order if t != right) if wrong is None else _token(model.tokenizer, wrong, text, notes)
    if right == foil:
        (name,) = pieces(model.tokenizer, [right])
        raise TaskError(f"{answer!r} and {wrong!r} both begin with the token {name!r}, so they can't be compared there")
    for given, token, what in ((answer, right, "answer"), (wrong, foil, "wrong answer")):
        if given is None:
            which = "the model's first choice" if token == order[0] else "the most probable other token"
            notes.append(f"no {what} was given: it is {pieces(model.tokenizer, [token])[0]!r}, {which}")
    return right, foil, notes


def _token(tokenizer: Any, answer: str | int, text: str, notes: list[str]) -> int:
    """An answer's first token."""
    if not isinstance(answer, str):
        if not 0 <= answer < len(tokenizer):
            raise TaskError(f"token id {answer} is outside the tokenizer's 0 to {len(tokenizer) - 1}")
        return answer
    ids = continuation(tokenizer, answer)
    if not ids or ids[0] == tokenizer.unk_token_id:
        raise TaskError(f"the tokenizer doesn't know the answer {answer!r}")
    if doubtful_answers(text, [answer], tokenizer):
        notes.append(f"{answer!r} follows the prompt's last letter without a space: is {f' {answer}'!r} meant?")
    if len(ids) > 1:
        notes.append(f"{answer!r} has several tokens ({names_of(tokenizer, ids)}): all this is about the first of them")
    return ids[0]
