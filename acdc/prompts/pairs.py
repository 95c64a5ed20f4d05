"""A pair of prompts as a task gives it, and the checks of its fields: whatever a user's code puts there is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acdc.errors import TaskError
from acdc.prompts.given import hint_of, items_of, seen, text_of, whole_of
from acdc.prompts.messages import is_messages, messages_of
from acdc.prompts.spans import Where, checked_spans

__all__ = ["PromptPair", "checked"]


@dataclass(frozen=True)
class PromptPair:
    """A clean prompt, its corrupted twin, and the answers.

    Args:
        clean, corrupt: Text, token ids, or chat messages. Both sides must have the same number of tokens. A text gets
            the special tokens that the tokenizer itself puts before it (often BOS); token ids are used as they are
            given; messages, `[{"role": "user", "content": ...}]`, are written out by the tokenizer's chat template.
        correct: Answers counted as right: text that is one token (with its leading space where the tokenizer has one),
            or token ids. An answer of several tokens, text or a list of ids, needs a task that says how to take it
            (`Task.answers`).
        wrong: Answers counted as wrong.
        target: The token position whose logits predict the answer, as a Python index into the prompt's own tokens. A
            prompt with several targets is several pairs.
        spans: Parts of the prompt by name, the same names in every pair of a task: for each, a token's position or a
            range `(start, end)`, counted like `target`; a text of whole tokens, `("John", 2)` for the second "John", or
            a pair of texts for the two sides; or a list of these. Tokens in no span
            get one: see `acdc.prompts.span_tokens`.

    What is given is checked when a batch is made of it: whole numbers may also be NumPy's, in a tensor of one
    dimension, or written like 14.0.

    >>> PromptPair("The capital of France is", "The capital of Spain is", [" Paris"], [" Madrid"]).target
    -1
    >>> pair = PromptPair(
    ...     "The capital of France is",
    ...     "The capital of Spain is",
    ...     [" Paris"],
    ...     [" Madrid"],
    ...     spans={"country": ("France", "Spain")},
    ... )
    """

    clean: str | Sequence[Any]
    corrupt: str | Sequence[Any]
    correct: Sequence[str | int | Sequence[int]]
    wrong: Sequence[str | int | Sequence[int]] = ()
    target: int = -1
    spans: Mapping[str, Where] = field(default_factory=dict)


def checked(pair: Any, where: str) -> PromptPair:
    """The pair with plain fields: text, lists of whole numbers or text, and a whole number.

    Raises:
        TaskError: It is not a pair, or a field is not of its kind; the message names the place and the field, and says
            what came and what is expected.
    """
    if not isinstance(pair, PromptPair):
        raise TaskError(f"{where}: expected a PromptPair, not {seen(pair)}")
    clean, corrupt = (_prompt(getattr(pair, side), f"{where}: {side}") for side in ("clean", "corrupt"))
    correct, wrong = (_answers(getattr(pair, side), f"{where}: {side}") for side in ("correct", "wrong"))
    target = whole_of(pair.target)
    if target is None:
        raise TaskError(f"{where}: target must be a whole number, a token's position, not {seen(pair.target)}")
    return PromptPair(clean, corrupt, correct, wrong, target, checked_spans(pair.spans, where))


def _prompt(value: Any, what: str) -> str | list[Any]:
    if isinstance(value, str):
        return text_of(value, what)
    if is_messages(value):
        return messages_of(value, what)
    items = items_of(value)
    if items is None:
        raise TaskError(f"{what} must be text, chat messages or a list of token ids, not {seen(value)}{hint_of(value)}")
    ids = [whole_of(item) for item in items]
    for i, (token, item) in enumerate(zip(ids, items, strict=True)):
        if token is None:
            raise TaskError(
                f"{what} must be text, chat messages or a list of token ids; entry {i} is {seen(item)}, not a whole "
                f"number{hint_of(items)}"
            )
    return [token for token in ids if token is not None]


def _answers(value: Any, what: str) -> list[str | int | Sequence[int]]:
    if isinstance(value, str):
        raise TaskError(f"{what}: answers must be a list like [' Mary'], not the bare text {seen(value)}")
    items = items_of(value)
    if items is None:
        raise TaskError(f"{what}: answers must be a list like [' Mary'] or [314], not {seen(value)}{hint_of(value)}")
    found: list[str | int | Sequence[int]] = []
    for i, item in enumerate(items):
        answer = text_of(item, what) if isinstance(item, str) else _token_or_tokens(item)
        if answer is None:
            raise TaskError(f"{what}: answer {i} must be text of one token or a token id, not {seen(item)}")
        found.append(answer)
    return found


def _token_or_tokens(item: Any) -> int | list[int] | None:
    """A token id, or the ids of an answer of several tokens."""
    token, items = whole_of(item), items_of(item)
    if token is not None or not items:
        return token
    ids = [whole_of(each) for each in items]
    return None if None in ids else [each for each in ids if each is not None]
