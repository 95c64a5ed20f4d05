"""Tasks: the base classes, and how a task is found by name or in a user's file."""

from acdc.task.base import Task
from acdc.task.loading import ENTRY_POINTS, TASK_FILE, load_task, registered_tasks
from acdc.task.one_prompt import OnePrompt
from acdc.task.prompt_list import PromptList
from acdc.task.words import Words, WordTask, single_tokens, spellable, split_words

__all__ = [
    "ENTRY_POINTS",
    "TASK_FILE",
    "OnePrompt",
    "PromptList",
    "Task",
    "WordTask",
    "Words",
    "load_task",
    "registered_tasks",
    "single_tokens",
    "spellable",
    "split_words",
]
