"""One pair of prompts as a task, as it is given on a command line."""

import re
from collections.abc import Sequence
from typing import Any

from acdc.errors import TaskError
from acdc.prompts.answers import SINGLE, doubtful_answers
from acdc.prompts.messages import asked
from acdc.prompts.pairs import PromptPair
from acdc.task.prompt_list import PromptList

__all__ = ["OnePrompt"]

NOTE = "one pair of prompts: none is held out, and what is found may hold of this pair alone"
LONGEST = 40  # letters of a name


class OnePrompt(PromptList):
    """A pair of prompts and its answers.

    Args:
        clean, corrupt: The prompts, with equally many tokens: text, token ids, or chat messages.
        answer: Right answers, each with the space before it where the text has one.
        wrong: Wrong answers.
        chat: Whether the texts are a user's messages, to be written out by the tokenizer's chat template.
        system: The system message before each.
        answers: How answers of several tokens are taken: see `Task.answers`.
        name: Name for outputs and messages; made of the clean prompt's words if None.

    Raises:
        TaskError: A field is not of its kind.

    >>> OnePrompt("The capital of Australia is", "The capital of France is", [" Canberra"], [" Sydney"]).name
    'the-capital-of-australia-is'
    """

    summary = "one pair of prompts"

    def __init__(
        self,
        clean: str | Sequence[Any],
        corrupt: str | Sequence[Any],
        answer: Sequence[str | int],
        wrong: Sequence[str | int] = (),
        *,
        chat: bool = False,
        system: str | None = None,
        answers: str = SINGLE,
        name: str | None = None,
    ) -> None:
        if system is not None and not chat:
            raise TaskError("a system message goes with chat messages only (chat=True, --chat)")
        named = _name(clean) if name is None else name
        if chat and isinstance(clean, str) and isinstance(corrupt, str):
            clean, corrupt = asked(clean, system), asked(corrupt, system)
        super().__init__([PromptPair(clean, corrupt, answer, wrong)], name=named, answers=answers)

    def _chosen(self, tokenizer: Any, n: int, seed: int, held_out: bool) -> tuple[list[PromptPair], str | None]:
        pair = self._pairs[0]
        answers = (*pair.correct, *pair.wrong)
        doubtful = doubtful_answers(pair.clean, answers, tokenizer) if isinstance(pair.clean, str) else []
        told = [
            f"{text!r} follows the prompt's last letter without a space: is {f' {text}'!r} meant?" for text in doubtful
        ]
        return [pair], "; ".join([NOTE, *told])


def _name(prompt: object) -> str:
    """A short name made of the prompt's last words."""
    words = re.findall(r"\w+", prompt.lower()) if isinstance(prompt, str) else []
    while words and len("-".join(words)) > LONGEST:
        del words[0]
    return "-".join(words) or "one-prompt"
