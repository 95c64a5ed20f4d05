"""What a circuit is found for: a `Task` gives clean and corrupted prompt pairs, their answers and a metric."""

import importlib
import importlib.util
import inspect
import logging
import random
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from acdc.errors import ACDCError, TaskError, printable, unknown_name
from acdc.prompts.batch import PromptBatch, check_count
from acdc.prompts.pairs import PromptPair, checked
from acdc.prompts.pools import EVERY, same_pairs, side_of
from acdc.prompts.tokens import encode, single_token
from acdc.task.users_code import users_code

__all__ = [
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

logger = logging.getLogger(__name__)

ENTRY_POINTS = "acdc.tasks"
TASK_FILE = "acdc_task_file_"  # starts the name of the module of a user's file
MISSING = object()
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
        prepend_bos: Whether prompts start with the tokenizer's BOS token. By default (None) a text starts as the
            tokenizer itself starts it, and token ids as they are given. Circuits depend on it, so runs record it; the
            argument `bos` of a run goes before it.
        bare_ids: Whether prompts that are given as token ids lack what the tokenizer puts before a text, and are to get
            it.

    >>> from acdc import PromptPair, Task, discover
    >>> class Capital(Task):
    ...     name = "capital"
    ...     def pairs(self, tokenizer, n, rng):
    ...         return [PromptPair("The capital of France is", "The capital of Spain is", [" Paris"], [" Madrid"])]
    >>> result = discover("acdc-tasks", Capital, tau=0.1, out=None)
    >>> result.metrics["n_prompts"], result.metrics["accuracy"]["circuit"]
    (1, 1.0)
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    metric: ClassVar[str] = "kl"
    gradient_metric: ClassVar[str] = "logit_diff"
    default_model: ClassVar[str] = "acdc-small"
    prepend_bos: ClassVar[bool | None] = None
    bare_ids: ClassVar[bool] = False

    @abstractmethod
    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Iterable[PromptPair]:
        """Make `n` prompt pairs for this tokenizer, drawing only from `rng`; fewer, if there are no more.

        Raises:
            TaskError: This tokenizer can't express the task.
        """

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Iterable[PromptPair]:
        """Make `n` pairs on which a circuit is judged; a task with words or templates to spare overrides this, so that
        discovery and evaluation share none.

        By default `pairs`, from another seed. Where `pairs` has only so many, or draws nothing from `rng` and so gives
        the same ones for every seed, every fourth of them is held out instead, and discovery gets the others.
        """
        return self.pairs(tokenizer, n, rng)

    def batch(
        self, tokenizer: Any, n: int, seed: int = 0, *, held_out: bool = False, bos: bool | None = None
    ) -> PromptBatch:
        """`n` checked and tokenised pairs, or as many as there are; equal for equal seeds.

        Args:
            held_out: Whether they are to judge a circuit, not to find it: drawn from a seed that no discovery has.
            bos: What stands before a prompt: see `PromptBatch.from_pairs`; the task's own wish if None.

        Raises:
            TaskError: `n` is out of range, the task's own code fails or gives no pairs, or the pairs don't pass the
                checks of `PromptBatch.from_pairs`.
        """
        check_count(n)
        pairs, note = self._chosen(tokenizer, n, seed, held_out)
        wish = self.prepend_bos if bos is None else bos
        batch = PromptBatch.from_pairs(pairs, tokenizer, task_name=self.name, bos=wish, bare_ids=self.bare_ids)
        return replace(batch, notes=(*([note] if note else []), *batch.notes))

    def _chosen(self, tokenizer: Any, n: int, seed: int, held_out: bool) -> tuple[list[PromptPair], str | None]:
        """The pairs of one side, and what is to be said of them."""
        start, other_start = (f"held out {seed}", seed) if held_out else (seed, f"held out {seed}")
        if type(self).held_out_pairs is not Task.held_out_pairs:
            pairs, _ = self._made(self.held_out_pairs if held_out else self.pairs, tokenizer, n, start)
            return pairs[:n], self._shortfall(len(pairs), n)
        pairs, drawn = self._made(self.pairs, tokenizer, n, start)
        if drawn and (len(pairs) == n or not same_pairs(pairs, self._made(self.pairs, tokenizer, n, other_start)[0])):
            return pairs[:n], self._shortfall(len(pairs), n)
        if not drawn and len(pairs) == n:  # always the same: there may be more of them, for the other side too
            more = EVERY * n if held_out else n + n // (EVERY - 1) + 1
            with suppress(TaskError):  # some can't give so many
                pairs, _ = self._made(self.pairs, tokenizer, more, start)
        side = side_of(pairs, held_out=held_out, in_order=not drawn)[:n]
        return side, self._split_note(len(pairs), len(side), n, held_out)

    def _made(
        self, make: Callable[..., Iterable[PromptPair]], tokenizer: Any, n: int, seed: int | str
    ) -> tuple[list[PromptPair], bool]:
        """`n` pairs (a list may hold fewer or more), and whether anything was drawn from `rng` to make them."""
        rng = random.Random(seed)
        before = rng.getstate()
        with users_code(f"task {self.name!r} failed to make its pairs", _file_of(type(self))):
            made = make(tokenizer, n, rng)
            if isinstance(made, str | bytes | dict) or not isinstance(made, Iterable):
                raise TaskError(
                    f"task {self.name!r} must give a list of PromptPair, not {printable(repr(made), 60)} "
                    f"({type(made).__name__})"
                )
            pairs = list(made) if isinstance(made, list | tuple) else list(islice(made, n))
            checked_pairs = [checked(pair, f"task {self.name!r}, pair {i}") for i, pair in enumerate(pairs)]
        if not pairs:
            raise TaskError(f"task {self.name!r} gave no prompt pairs: at least one is needed")
        return checked_pairs, rng.getstate() != before

    def _shortfall(self, given: int, asked: int) -> str | None:
        if given >= asked:
            return None
        return f"task {self.name!r} gave {given} pair{'s'[: given != 1]} where {asked} were asked for; these are used"

    def _split_note(self, given: int, used: int, asked: int, held_out: bool) -> str | None:
        if used == asked:
            return None
        told = f"task {self.name!r} gave {given} pair{'s'[: given != 1]} where {asked} were asked for"
        if given == used:
            return f"{told}; these are used, and none is held out of so few"
        return f"{told}; {used} of them, {'' if held_out else 'not '}held out, are used"


class PromptList(Task):
    """Pairs that are given as they are: what a list of `PromptPair` becomes where a task is expected.

    Args:
        pairs: At least one.
        name: Name for outputs and messages.
        held_out: Pairs to judge a circuit on; if there are none, every fourth of `pairs` is held out.
        metric: Default metric of discovery.

    >>> pair = PromptPair("The capital of France is", "The capital of Spain is", [" Paris"], [" Madrid"])
    >>> PromptList([pair], name="capitals").name
    'capitals'
    """

    summary = "prompts that were given as a list"

    def __init__(
        self,
        pairs: Sequence[PromptPair],
        *,
        name: str = "prompts",
        held_out: Sequence[PromptPair] = (),
        metric: str = "kl",
    ) -> None:
        given = (pairs, held_out)
        self._sides = tuple(
            tuple(checked(pair, f"{name}, {what} {i}") for i, pair in enumerate(side))
            for side, what in zip(given, ("pair", "held-out pair"), strict=True)
        )
        if not self._sides[0]:
            raise TaskError(f"the list of prompts {name!r} is empty: at least one PromptPair is needed")
        self.name, self.metric = name, metric  # type: ignore[misc]

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Sequence[PromptPair]:
        """The first `n` pairs."""
        return self._sides[0]

    def _chosen(self, tokenizer: Any, n: int, seed: int, held_out: bool) -> tuple[list[PromptPair], str | None]:
        if not self._sides[1]:
            return super()._chosen(tokenizer, n, seed, held_out)
        pairs = list(self._sides[held_out][:n])
        return pairs, self._shortfall(len(pairs), n)


def _file_of(kind: type) -> str | None:
    try:
        return inspect.getfile(kind)
    except (OSError, TypeError):  # made in an interactive session
        return None


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


def load_task(spec: "str | Task | type[Task] | Sequence[PromptPair]", **options: Any) -> Task:
    """The task that `spec` names.

    Args:
        spec: A registered name, `path/to/file.py:Class`, `module:Class`, a `Task` class, a task, or a list of pairs.
        options: Keyword arguments of the task's class.

    Raises:
        UnknownNameError: No registered task has this name.
        TaskError: The file, module or class can't be loaded or is no task, or it takes no such options.
    """
    if isinstance(spec, Task):
        if options:
            raise TaskError(f"options ({', '.join(options)}) can't be given to a task that is already made")
        return spec
    if isinstance(spec, list | tuple):
        return _make(PromptList, {"pairs": spec, **options})
    kind = _task_class(spec) if isinstance(spec, str) else spec
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise TaskError(
            f"{printable(repr(spec))} is no task: expected a subclass of acdc.Task, a name, or a list of PromptPair"
        )
    if inspect.isabstract(kind):
        raise TaskError(f"{kind.__name__} can't be used as a task: it has no method `pairs`")
    made = _make(kind, options)
    _check_attributes(made)
    return made


def _check_attributes(task: Task) -> None:
    """Raise `TaskError` where an attribute is not of its kind."""
    kinds = {"name": str, "summary": str, "source": str, "metric": str, "gradient_metric": str, "default_model": str}
    kinds |= {"prepend_bos": bool | None, "bare_ids": bool}  # type: ignore[dict-item]
    for name, kind in kinds.items():
        with users_code(f"{type(task).__name__} can't be used as a task", _file_of(type(task))):
            value = getattr(task, name, MISSING)
        if value is MISSING or value == "" == name:
            raise TaskError(f"{type(task).__name__} can't be used as a task: it has no `{name}`")
        if not isinstance(value, kind):
            expected = "text" if kind is str else "True, False or None"
            raise TaskError(
                f"{type(task).__name__} can't be used as a task: its `{name}` must be {expected}, "
                f"not {printable(repr(value), 60)}"
            )


def _make(kind: type[Task], options: dict[str, Any]) -> Task:
    known = inspect.signature(kind).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for name in options:
        if name not in known and not takes_all:
            raise unknown_name(f"option of task {_name_of(kind)!r}", name, known)
    with users_code(f"task {_name_of(kind)!r} could not be made", _file_of(kind)):
        return kind(**options)


def _name_of(kind: type[Task]) -> str:
    return printable(str(getattr(kind, "name", kind.__name__)), 60)


def _task_class(spec: str) -> Any:
    place, colon, name = spec.rpartition(":")
    if not colon:
        if spec.endswith(".py"):
            raise TaskError(f"{spec!r} names a file; say which class in it is the task, like {spec}:MyTask")
        return _registered(spec)
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
    with users_code(f"{spec!r} can't be read", getattr(module, "__file__", None)):
        found = getattr(module, name, MISSING)
    if found is MISSING:
        tasks = [key for key, value in vars(module).items() if _is_task(value)]
        raise unknown_name(f"task class in {place}", name, tasks)
    return found


def _is_task(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Task) and value is not Task


def _registered(name: str) -> Any:
    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in points:
        raise unknown_name("task", name, sorted(points))
    with users_code(f"task {name!r} ({points[name].value}) can't be imported"):
        return points[name].load()


def _module(name: str) -> ModuleType:
    with users_code(f"module {name!r} can't be imported"):
        return importlib.import_module(name)


def _module_of_file(path: Path) -> ModuleType:
    """The module of a user's own file, run anew under a name of its own."""
    if not path.is_file():
        raise TaskError(f"there is no task file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(f"{TASK_FILE}{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    with users_code(f"the task file {str(path)!r} failed", str(path)):
        spec.loader.exec_module(module)
    return module
