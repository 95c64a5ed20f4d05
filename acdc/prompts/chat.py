"""Chat messages as prompts: the tokenizer's own template writes them out, up to where the model is to answer."""

from dataclasses import replace
from typing import Any

from acdc.errors import TaskError, printable
from acdc.prompts.messages import is_messages
from acdc.prompts.pairs import PromptPair
from acdc.prompts.tokens import encode

__all__ = ["templated"]


def templated(pair: PromptPair, tokenizer: Any, where: str) -> PromptPair:
    """The pair with messages written out as token ids, the start of the model's answer last.

    What the template puts there, a BOS token too, is all that stands before: nothing is put there a second time.

    Raises:
        TaskError: The tokenizer has no chat template, or it refuses the messages.
    """
    clean, corrupt = (
        _written(pair.clean, tokenizer, f"{where}: clean"),
        _written(pair.corrupt, tokenizer, f"{where}: corrupt"),
    )
    return replace(pair, clean=clean, corrupt=corrupt)


def _written(prompt: Any, tokenizer: Any, where: str) -> Any:
    """Messages as token ids; a text and ids as they are."""
    if not is_messages(prompt):
        return prompt
    if getattr(tokenizer, "chat_template", None) is None:
        raise TaskError(
            f"{where}: messages need a chat template, and the tokenizer of {tokenizer.name_or_path!r} has none; "
            "write the whole text as the model expects it"
        )
    try:
        text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is code of its author's
        told = printable(str(error), 200)
        raise TaskError(f"{where}: the tokenizer's chat template refuses the messages: {told}") from None
    return encode(tokenizer, str(text))
