"""Automated circuit discovery: from a Hugging Face causal language model and a task to a minimal, checked circuit."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acdc.circuit import Circuit
    from acdc.errors import ACDCError, CircuitError, FileError, ModelError, RunError, TaskError, UnknownNameError
    from acdc.evidence import evaluate
    from acdc.findings import Evaluation
    from acdc.graph import Graph
    from acdc.models import PatchableModel
    from acdc.prompts import PromptBatch, PromptPair
    from acdc.run import RunResult, discover, load_run
    from acdc.task import PromptList, Task, single_token, single_tokens, spellable, split_words
    from acdc.tokens import continuation

__version__ = "0.1.0"

_HOME = {  # name: module; imported when first used, so that `import acdc` stays light
    **dict.fromkeys(
        ("ACDCError", "CircuitError", "FileError", "ModelError", "RunError", "TaskError", "UnknownNameError"), "errors"
    ),
    "Circuit": "circuit",
    "Evaluation": "findings",
    "Graph": "graph",
    "PatchableModel": "models",
    "PromptBatch": "prompts",
    "PromptPair": "prompts",
    "RunResult": "run",
    "Task": "task",
    "PromptList": "task",
    "continuation": "tokens",
    "discover": "run",
    "evaluate": "evidence",
    "load_run": "run",
    **dict.fromkeys(("single_token", "single_tokens", "spellable", "split_words"), "task"),
}

__all__ = [
    "ACDCError",
    "Circuit",
    "CircuitError",
    "Evaluation",
    "FileError",
    "Graph",
    "ModelError",
    "PatchableModel",
    "PromptBatch",
    "PromptList",
    "PromptPair",
    "RunError",
    "RunResult",
    "Task",
    "TaskError",
    "UnknownNameError",
    "__version__",
    "continuation",
    "discover",
    "evaluate",
    "load_run",
    "single_token",
    "single_tokens",
    "spellable",
    "split_words",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'acdc' has no attribute {name!r}")
    return getattr(import_module(f"acdc.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
