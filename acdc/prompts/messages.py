"""Prompts given as chat messages: what they are, and what is asked in one."""

from collections.abc import Mapping, Sequence
from typing import Any

from acdc.errors import TaskError
from acdc.prompts.given import seen, text_of

__all__ = ["asked", "is_messages", "messages_of"]


def asked(text: str, system: str | None = None) -> list[dict[str, str]]:
    """The messages of one question, after a system message if one is given.

    >>> asked("What is the capital of France?", "Answer in one word.")[-1]
    {'role': 'user', 'content': 'What is the capital of France?'}
    """
    before = [] if system is None else [{"role": "system", "content": system}]
    return [*before, {"role": "user", "content": text}]


def is_messages(value: Any) -> bool:
    """Whether a prompt is given as messages: a list of objects with a role."""
    listed = isinstance(value, list | tuple) and bool(value)
    return listed and all(isinstance(item, Mapping) and "role" in item for item in value)


def messages_of(value: Sequence[Mapping[str, Any]], what: str) -> list[dict[str, Any]]:
    """The messages, each with its role and its content as text.

    Raises:
        TaskError: A role or a content isn't text.
    """
    found = [dict(message) for message in value]
    for i, message in enumerate(found):
        for name in ("role", "content"):
            if not isinstance(message.get(name), str):
                raise TaskError(f"{what}: message {i}'s {name} must be text, not {seen(message.get(name))}")
            text_of(message[name], f"{what}: message {i}'s {name}")
    return found
