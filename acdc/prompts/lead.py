"""What is put before prompts: the special tokens with which the tokenizer begins a text, or what was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from acdc.errors import TaskError
from acdc.prompts.pairs import PromptPair
from acdc.prompts.tokens import Surroundings, names_of, surroundings

__all__ = ["Lead", "check_range"]


@dataclass(frozen=True)
class Lead:
    """The special tokens before texts and before token ids, and those that the tokenizer would put behind a text."""

    text: tuple[int, ...]
    ids: tuple[int, ...]
    left_out: tuple[int, ...] = ()

    @classmethod
    def read(
        cls, pairs: Sequence[PromptPair], tokenizer: Any, task_name: str, bos: bool | None, bare_ids: bool
    ) -> "Lead":
        around = Surroundings((), ())
        try:
            if (text := _any_text(pairs, tokenizer, task_name, bare_ids)) is not None:
                around = surroundings(tokenizer, text)
        except TaskError:
            if bos is None:  # else it doesn't matter
                raise
        if bos is None:
            return cls(around.before, around.before if bare_ids else (), around.after)
        if not bos:
            return cls((), (), around.after)
        token = tokenizer.bos_token_id
        if token is None:
            raise TaskError(
                f"task {task_name!r}: a BOS token is asked for (bos, prepend_bos), but the tokenizer has no BOS token"
            )
        before = around.before if token in around.before else (token, *around.before)
        return cls(before, before, around.after)

    def before(self, side: str | Sequence[int]) -> tuple[int, ...]:
        return self.text if isinstance(side, str) else self.ids

    def notes(self, tokenizer: Any) -> tuple[str, ...]:
        if not self.left_out:
            return ()
        names = " ".join(names_of(tokenizer, self.left_out))
        return (f"the tokenizer puts {names} behind a text; it is left out, for the answer is predicted there",)


def _any_text(pairs: Sequence[PromptPair], tokenizer: Any, task_name: str, bare_ids: bool) -> str | None:
    """A text to ask the tokenizer about; None where nothing is to be put before any prompt."""
    texts = [pair.clean for pair in pairs if isinstance(pair.clean, str) and pair.clean]
    if texts or not bare_ids:
        return texts[0] if texts else None
    ids = [int(token) for token in pairs[0].clean]
    check_range(ids, tokenizer, f"task {task_name!r}, pair 0")
    return str(tokenizer.decode(ids))


def check_range(ids: list[int], tokenizer: Any, where: str) -> None:
    """Raise `TaskError` where an id is none of the tokenizer's; `where` is what the message begins with."""
    if bad := [token for token in ids if not 0 <= token < len(tokenizer)]:
        raise TaskError(f"{where}: token id {bad[0]} is outside the tokenizer's 0 to {len(tokenizer) - 1}")
