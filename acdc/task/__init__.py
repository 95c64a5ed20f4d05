"""Tasks: the base classes, and how a task is found by name or in a user's file."""

from acdc.task.base import Task
from acdc.task.loading import ENTRY_POINTS, TASK_FILE, load_task, registered_tasks
from acdc.task.one_prompt import OnePrompt
from acdc.task.prompt_data import PromptFile
from acdc.task.prompt_list import PromptList
from acdc.task.table_file import is_data_file
from acdc.task.words import Words, WordTask, single_tokens, spellable, split_words, word_spans

__all__ = [
    "ENTRY_POINTS",
    "TASK_FILE",
    "OnePrompt",
    "PromptFile",
    "PromptList",
    "Task",
    "WordTask",
    "Words",
    "is_data_file",
    "load_task",
    "registered_tasks",
    "single_tokens",
    "spellable",
    "split_words",
    "word_spans",
]
