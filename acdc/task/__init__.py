"""Tasks: the base class, and how a task is found by name or in a user's file."""

from acdc.task.base import (
    ENTRY_POINTS,
    TASK_FILE,
    PromptList,
    PromptPair,
    Task,
    load_task,
    registered_tasks,
    single_token,
    single_tokens,
    spellable,
    split_words,
)

__all__ = [
    "ENTRY_POINTS",
    "TASK_FILE",
    "PromptList",
    "PromptPair",
    "Task",
    "load_task",
    "registered_tasks",
    "single_token",
    "single_tokens",
    "spellable",
    "split_words",
]
