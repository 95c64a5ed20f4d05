"""What a circuit is found for: a `Task` gives clean and corrupted prompt pairs, their answers and a metric."""

import importlib
import importlib.util
import inspect
import logging
import random
import re
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from acdc.errors import ACDCError, TaskError, unknown_name
from acdc.prompts import PromptBatch, PromptPair, encode, single_token

__all__ = [
    "PromptPair",
    "Task",
    "load_task",
    "registered_tasks",
    "single_token",
    "single_tokens",
    "spellable",
    "split_words",
]

logger = logging.getLogger(__name__)

ENTRY_POINTS = "acdc.tasks"
Item = TypeVar("Item")


class Task(ABC):
    """Base class of tasks: set the names, and write `pairs`.

    Attributes:
        name: Short name, used on the command line and in output paths.
        summary: One line for `acdc tasks`.
        source: Paper or other origin.
        metric: Default metric of discovery: `kl`, `logit_diff`, `prob_diff` or `nll`.
        gradient_metric: Used instead of `kl` by methods that take gradients at the clean run, where `kl` is flat; `nll`
            if the task lists no wrong answers.
        default_model: The model used when none is named.
        prepend_bos: Whether prompts start with the tokenizer's BOS token; circuits depend on it, so runs record it.

    >>> class Capital(Task):
    ...     name = "capital"
    ...     def pairs(self, tokenizer, n, rng):
    ...         return [PromptPair("The capital of France is", "The capital of Spain is", [" Paris"], [" Madrid"])]
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    metric: ClassVar[str] = "kl"
    gradient_metric: ClassVar[str] = "logit_diff"
    default_model: ClassVar[str] = "acdc-small"
    prepend_bos: ClassVar[bool] = False

    @abstractmethod
    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """Make `n` prompt pairs for this tokenizer, drawing only from `rng`.

        Raises:
            TaskError: This tokenizer can't express the task.
        """

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """Make `n` pairs on which a circuit is judged; a task with words or templates to spare overrides this, so that
        discovery and evaluation share none. By default `pairs`, from another seed."""
        return self.pairs(tokenizer, n, rng)

    def batch(self, tokenizer: Any, n: int, seed: int = 0, *, held_out: bool = False) -> PromptBatch:
        """`n` checked and tokenised pairs; equal for equal seeds.

        Args:
            held_out: Whether they are to judge a circuit, not to find it: drawn from a seed that no discovery has.

        Raises:
            TaskError: `n` isn't positive, the task's own code fails or gives another number of pairs, or the pairs
                don't pass the checks of `PromptBatch.from_pairs`.
        """
        if not isinstance(n, int) or n < 1:
            raise TaskError(f"n must be a positive number of prompt pairs, not {n!r}")
        make, rng = (
            (self.held_out_pairs, random.Random(f"held out {seed}")) if held_out else (self.pairs, random.Random(seed))
        )
        try:
            pairs = list(make(tokenizer, n, rng))
        except ACDCError:
            raise
        except Exception as error:
            raise TaskError(f"task {self.name!r} failed to make its pairs: {_blame(error)}") from error
        if len(pairs) != n:
            raise TaskError(f"task {self.name!r} gave {len(pairs)} pairs where {n} were asked for")
        return PromptBatch.from_pairs(pairs, tokenizer, task_name=self.name, prepend_bos=self.prepend_bos)


def split_words(words: Sequence[Item], *, held_out: bool, every: int = 4) -> list[Item]:
    """One side of a list: every `every`-th item is for held-out pairs, the others are for discovery.

    Raises:
        TaskError: There are words, but too few for this side.

    >>> split_words(["a", "b", "c", "d", "e"], held_out=False)
    ['a', 'b', 'c', 'e']
    >>> split_words(["a", "b", "c", "d", "e"], held_out=True)
    ['d']
    """
    side = [word for i, word in enumerate(words) if (i % every == every - 1) == held_out]
    if words and not side:
        raise TaskError(f"every {every}th is held out, and there are only {len(words)}: {', '.join(map(repr, words))}")
    return side


def single_tokens(tokenizer: Any, words: Iterable[str]) -> list[str]:
    """The words that are one token with the space before them."""
    return [word for word in words if single_token(tokenizer, f" {word}") is not None]


def spellable(tokenizer: Any, texts: Iterable[str]) -> list[str]:
    """The texts that the tokenizer can spell; all of them, unless it is made of whole words.

    A template is read as it stands, without its `{slots}`; a word with the space before it.

    Raises:
        TaskError: It can't spell any of them.
    """
    unknown, texts = tokenizer.unk_token_id, list(texts)
    forms = [re.sub(r" ?\{\w+\}", "", text) if "{" in text else f" {text}" for text in texts]
    spelled = [
        text
        for text, form in zip(texts, forms, strict=True)
        if unknown is None or unknown not in encode(tokenizer, form)
    ]
    if not spelled:
        names = ", ".join(map(repr, texts[:3])) + ("…" if len(texts) > 3 else "")
        raise TaskError(f"the tokenizer of {tokenizer.name_or_path!r} lacks words of each of {names}")
    return spelled


def registered_tasks() -> dict[str, type[Task]]:
    """Every task that an installed package offers in the entry-point group `acdc.tasks`, by name.

    One that can't be imported is left out with a warning: a broken package doesn't hide the others.
    """
    found = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            found[point.name] = _registered(point.name)
        except ACDCError as error:
            logger.warning("%s", error)
    return found


def load_task(spec: "str | Task | type[Task]", **options: Any) -> Task:
    """The task that `spec` names.

    Args:
        spec: A registered name, `path/to/file.py:Class`, `module:Class`, a `Task` class, or a task.
        options: Keyword arguments of the task's class.

    Raises:
        UnknownNameError: No registered task has this name.
        TaskError: The file, module or class can't be loaded or is no task, or it takes no such options.
    """
    if isinstance(spec, Task):
        if options:
            raise TaskError(f"options ({', '.join(options)}) can't be given to a task that is already made")
        return spec
    kind = _task_class(spec) if isinstance(spec, str) else spec
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise TaskError(f"{spec!r} is no task: expected a subclass of acdc.Task")
    if inspect.isabstract(kind):
        raise TaskError(f"{kind.__name__} can't be used as a task: it has no method `pairs`")
    if not isinstance(getattr(kind, "name", None), str):
        raise TaskError(f"{kind.__name__} can't be used as a task: it has no `name`")
    return _make(kind, options)


def _make(kind: type[Task], options: dict[str, Any]) -> Task:
    known = inspect.signature(kind).parameters
    for name in options:
        if name not in known:
            raise unknown_name(f"option of task {kind.name!r}", name, known)
    try:
        return kind(**options)
    except ACDCError:
        raise
    except Exception as error:
        raise TaskError(f"task {kind.name!r} could not be made: {_blame(error)}") from error


def _task_class(spec: str) -> Any:
    place, colon, name = spec.rpartition(":")
    if not colon:
        if spec.endswith(".py"):
            raise TaskError(f"{spec!r} names a file; say which class in it is the task, like {spec}:MyTask")
        return _registered(spec)
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
    if not hasattr(module, name):
        tasks = [key for key, value in vars(module).items() if _is_task(value)]
        raise unknown_name(f"task class in {place}", name, tasks)
    return getattr(module, name)


def _is_task(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Task) and value is not Task


def _registered(name: str) -> Any:
    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in points:
        raise unknown_name("task", name, sorted(points))
    try:
        return points[name].load()
    except Exception as error:
        raise TaskError(f"task {name!r} ({points[name].value}) can't be imported: {_blame(error)}") from error


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise TaskError(f"module {name!r} can't be imported: {_blame(error)}") from error


def _module_of_file(path: Path) -> ModuleType:
    """The module of a user's own file, run anew under a name of its own."""
    if not path.is_file():
        raise TaskError(f"there is no task file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(f"acdc_task_file_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TaskError(f"the task file {str(path)!r} failed: {_blame(error)}") from error
    return module


def _blame(error: BaseException) -> str:
    """The error in a line, with the file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}, line {error.lineno})"
    return f"{type(error).__name__}: {error}{place}"
