"""The bundled models: ordinary Hugging Face folders, one each, beside this file; and dictionaries of their features."""

import json
from pathlib import Path
from typing import Any

__all__ = [
    "dictionary_names",
    "dictionary_path",
    "dictionary_summary",
    "zoo_names",
    "zoo_path",
    "zoo_scores",
    "zoo_summary",
]

HERE = Path(__file__).parent
DICTIONARIES = "dictionaries"


def zoo_names() -> tuple[str, ...]:
    """Names of the bundled models."""
    return tuple(sorted(path.parent.name for path in HERE.glob("*/config.json")))


def zoo_path(name: str) -> Path:
    """The folder of a bundled model."""
    return HERE / name


def zoo_summary(name: str) -> str:
    """What a bundled model is, in the words of its card."""
    return _summary(zoo_path(name))


def dictionary_names() -> tuple[str, ...]:
    """Names of the bundled dictionaries, each its model's and its site's, `acdc-small.resid_post.1`, and of sets of
    them, `acdc-small.transcoders`."""
    return tuple(sorted(path.parent.name for path in (HERE / DICTIONARIES).glob("*/README.md")))


def dictionary_path(name: str) -> Path:
    """The folder of a bundled dictionary."""
    return HERE / DICTIONARIES / name


def dictionary_summary(name: str) -> str:
    """What a bundled dictionary is, in the words of its card."""
    return _summary(dictionary_path(name))


def _summary(folder: Path) -> str:
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("summary: ") for line in lines if line.startswith("summary: ")), "")


def zoo_scores() -> dict[str, Any]:
    """How well each bundled model does each built-in task, as `training/measure_zoo.py` measured it.

    Returns:
        `n` and `seed` of the prompts, and `scores`: by model and task, the shares of prompts that are answered rightly:
        of `held_out` and of `discovery` prompts, and of `corrupted` ones by the clean prompt's answers; `top1` counts
        only answers that are the most probable of all tokens.
    """
    found: dict[str, Any] = json.loads((HERE / "scores.json").read_text(encoding="utf-8"))
    return found
