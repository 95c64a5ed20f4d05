"""Automated circuit discovery: from a Hugging Face causal language model and a task to a minimal, checked circuit."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acdc.version import __version__

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit
    from acdc.circuits.graph import Graph
    from acdc.drawing import draw
    from acdc.errors import ACDCError, CircuitError, FileError, ModelError, RunError, TaskError, UnknownNameError
    from acdc.interpret.debug import Diagnosis
    from acdc.models import PatchableModel
    from acdc.prompts.batch import PromptBatch, PromptPair
    from acdc.prompts.tokens import continuation, single_token
    from acdc.runs.debug import debug
    from acdc.runs.discover import RunResult, discover, load_run
    from acdc.runs.evaluate import evaluate
    from acdc.runs.evaluation_report import Evaluation
    from acdc.runs.explain import explain
    from acdc.runs.explained import Explained
    from acdc.runs.heads import heads
    from acdc.runs.patching import patch, patch_paths, trace
    from acdc.runs.steering import SteeredRun, steer, steer_run
    from acdc.runs.sweeps.sweep import sweep
    from acdc.task import (
        OnePrompt,
        PromptFile,
        PromptList,
        Task,
        Words,
        WordTask,
        single_tokens,
        spellable,
        split_words,
    )

_HOME = {  # name: module; imported when first used, so that `import acdc` stays light
    **dict.fromkeys(
        ("ACDCError", "CircuitError", "FileError", "ModelError", "RunError", "TaskError", "UnknownNameError"), "errors"
    ),
    "Circuit": "circuits.circuit",
    "Evaluation": "runs.evaluation_report",
    "Graph": "circuits.graph",
    "PatchableModel": "models",
    "PromptBatch": "prompts.batch",
    "PromptPair": "prompts.batch",
    "RunResult": "runs.discover",
    **dict.fromkeys(("continuation", "single_token"), "prompts.tokens"),
    "Diagnosis": "interpret.debug",
    "debug": "runs.debug",
    "discover": "runs.discover",
    "draw": "drawing",
    "Explained": "runs.explained",
    "evaluate": "runs.evaluate",
    "heads": "runs.heads",
    "explain": "runs.explain",
    "load_run": "runs.discover",
    **dict.fromkeys(("patch", "patch_paths", "trace"), "runs.patching"),
    **dict.fromkeys(("SteeredRun", "steer", "steer_run"), "runs.steering"),
    "sweep": "runs.sweeps.sweep",
    **dict.fromkeys(
        (
            "OnePrompt",
            "PromptFile",
            "PromptList",
            "Task",
            "WordTask",
            "Words",
            "single_tokens",
            "spellable",
            "split_words",
            "word_spans",
        ),
        "task",
    ),
    "token_places": "prompts.text_places",
}

__all__ = [
    "ACDCError",
    "Circuit",
    "CircuitError",
    "Diagnosis",
    "Evaluation",
    "Explained",
    "FileError",
    "Graph",
    "ModelError",
    "OnePrompt",
    "PatchableModel",
    "PromptBatch",
    "PromptFile",
    "PromptList",
    "PromptPair",
    "RunError",
    "RunResult",
    "SteeredRun",
    "Task",
    "TaskError",
    "UnknownNameError",
    "WordTask",
    "Words",
    "__version__",
    "continuation",
    "debug",
    "discover",
    "draw",
    "evaluate",
    "explain",
    "heads",
    "load_run",
    "patch",
    "patch_paths",
    "single_token",
    "single_tokens",
    "spellable",
    "split_words",
    "steer",
    "steer_run",
    "sweep",
    "token_places",
    "trace",
    "word_spans",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'acdc' has no attribute {name!r}")
    return getattr(import_module(f"acdc.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
