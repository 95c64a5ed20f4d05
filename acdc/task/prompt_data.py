"""A data file as a task: JSON, JSON lines or a table, a pair of prompts a row."""

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from acdc.errors import ACDCError, AlignmentError, TaskError, counted
from acdc.files import read_bytes
from acdc.prompts.answers import SINGLE, WHOLE, check_answers
from acdc.prompts.batch import PromptBatch
from acdc.prompts.messages import asked
from acdc.prompts.pairs import PromptPair, checked
from acdc.prompts.tokens import names_of
from acdc.task.base import Task
from acdc.task.columns import Columns, parsed_columns
from acdc.task.prompt_list import PromptList
from acdc.task.table_file import MAX_FILE_BYTES, FileRow, is_data_file, rows_of

__all__ = ["PromptFile"]

NAMED = 3  # unusable rows that a message names
LONGEST_REASON = 160


class _Usable(NamedTuple):
    pairs: list[PromptPair]
    held_out: list[PromptPair]
    note: str | None


class PromptFile(Task):
    """The pairs of a data file.

    Args:
        path: A file that ends in .jsonl, .ndjson, .json, .csv or .tsv.
        columns: Which column is which field (clean, corrupt, answer, wrong, target, split), like
            `clean=text,corrupt=other`; the field's usual names are known. See `acdc.task.columns.KNOWN`.
        skip_bad: Leave out rows that can't be used; by default they are an error.
        chat: Whether prompts that are texts are a user's messages, to be written out by the tokenizer's chat
            template; a list of messages always is.
        system: The system message before each such text.
        space: Put a space before answers that have none.
        answers: How answers of several tokens are taken: see `Task.answers`.
        name: Name for outputs and messages; the file's own if None.
        metric: Default metric of discovery.

    Attributes:
        options: All arguments but the path, as a record keeps them.

    A column `split` says which rows are held out; without one every fourth of the different pairs is.

    Raises:
        FileError: The file can't be read.
        TaskError: Its columns don't give pairs.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        columns: str | Mapping[str, str] | None = None,
        skip_bad: Any = False,
        space: Any = False,
        chat: Any = False,
        system: str | None = None,
        answers: str = SINGLE,
        name: str | None = None,
        metric: str = "kl",
    ) -> None:
        self.path = Path(path).expanduser()
        if not is_data_file(str(self.path)):
            raise TaskError(f"{self.path} must end in .jsonl, .json, .csv or .tsv, to say what it is")
        content = read_bytes(self.path, max_bytes=MAX_FILE_BYTES)
        self.digest = hashlib.sha256(content).hexdigest()  # type: ignore[misc]
        self._rows, self._skip_bad = rows_of(content, self.path), _truth(skip_bad, "skip_bad")
        given = parsed_columns(columns)
        try:
            first = dict.fromkeys(name for row in self._rows[:100] for name in row.values)
            self._columns = Columns.find(first, given, space=_truth(space, "space"))
        except TaskError as error:
            raise TaskError(f"{self.path}: {error}") from None
        self.name, self.metric = name or self.path.stem, metric  # type: ignore[misc]
        if not all(self._columns.has_wrong(row.values) for row in self._rows):
            self.gradient_metric = "nll"  # type: ignore[misc]
        self.answers = check_answers(answers)  # type: ignore[misc]
        if answers == WHOLE:
            self.gradient_metric = "answer_logprob"  # type: ignore[misc]
        self.summary = f"prompts of {self.path.name}: {self._columns}"  # type: ignore[misc]
        if system is not None and not _truth(chat, "chat"):
            raise TaskError("a system message goes with chat messages only (chat=True, --chat)")
        self._chat = (chat, system)
        given_chat = {"chat": chat, "system": system} if chat else {}
        self.options = {"columns": given, "skip_bad": skip_bad, "space": space, "name": name, "metric": metric}
        self.options |= given_chat | ({} if answers == SINGLE else {"answers": answers})
        self._last: tuple[Any, bool | None, _Usable] | None = None

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Iterable[PromptPair]:
        """All pairs that this tokenizer can use, those for judging too."""
        usable = self._usable(tokenizer, None)
        return [*usable.pairs, *usable.held_out]

    def batch(
        self, tokenizer: Any, n: int, seed: int = 0, *, held_out: bool = False, bos: bool | None = None
    ) -> PromptBatch:
        """The first `n` of one side.

        Raises:
            TaskError: Rows can't be used, and they are not to be left out; or none can.
        """
        usable = self._usable(tokenizer, bos)
        side = PromptList(usable.pairs, name=self.name, held_out=usable.held_out, answers=self.answers)
        batch = side.batch(tokenizer, n, seed, held_out=held_out, bos=bos)
        return replace(batch, notes=(*([usable.note] if usable.note else []), *batch.notes))

    def _usable(self, tokenizer: Any, bos: bool | None) -> _Usable:
        """The pairs that can be used with a tokenizer; kept, for discovery and judging ask the same."""
        if self._last is None or self._last[0] is not tokenizer or self._last[1] != bos:
            self._last = (tokenizer, bos, self._sorted_out(tokenizer, bos))
        return self._last[2]

    def _sorted_out(self, tokenizer: Any, bos: bool | None) -> _Usable:
        sides: tuple[list[PromptPair], list[PromptPair]] = ([], [])
        bad: list[tuple[str, str]] = []
        for row in self._rows:
            try:
                sides[self._columns.is_held_out(row.values)].append(self._pair(row, tokenizer, bos))
            except ACDCError as error:
                bad.append((row.where, _reason(error)))
        told = self._told(bad) if bad else None
        if told and (not self._skip_bad or not any(sides)):
            more = "" if self._skip_bad else "; --skip-bad (skip_bad=True) leaves them out"
            raise TaskError(f"{self.path}: {told}{more if any(sides) else ''}")
        if not sides[0]:
            raise TaskError(f"{self.path}: all rows are held out (by {self._columns.of.get('split')!r}): none is left")
        return _Usable(*sides, note=None if told is None else f"{told}; they are left out")

    def _pair(self, row: FileRow, tokenizer: Any, bos: bool | None) -> PromptPair:
        """The pair of a row, checked as a batch checks it.

        Raises:
            TaskError: It can't be used.
        """
        pair = self._columns.pair(row.values)
        chat, system = self._chat
        if chat:
            clean, corrupt = (asked(p, system) if isinstance(p, str) else p for p in (pair.clean, pair.corrupt))
            pair = replace(pair, clean=clean, corrupt=corrupt)
        pair = checked(pair, "row")
        PromptBatch.from_pairs([pair], tokenizer, task_name="row", bos=bos, answers=self.answers)
        for side in ("clean", "corrupt"):
            named, ids = row.values.get(f"{side}_tokens"), getattr(pair, side)
            if isinstance(named, list) and not isinstance(ids, str) and named != names_of(tokenizer, list(ids)):
                raise TaskError("its token ids are of another tokenizer than this model's")
        return pair

    def _told(self, bad: list[tuple[str, str]]) -> str:
        first = "; ".join(f"{where}: {reason}" for where, reason in bad[:NAMED])
        more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        of = counted(len(self._rows), "row")
        return f"{len(bad):,} of {of} can't be used ({first}{more})"


def _reason(error: ACDCError) -> str:
    text = error.message if isinstance(error, AlignmentError) else str(error)
    text = text.removeprefix("task 'row', pair 0").removeprefix("row").removeprefix(":").strip()
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def _truth(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise TaskError(f"{name} must be true or false, not {value!r}")
    return value
