"""The text that features are read on, as a user names it: a text's file, rows of a data file, or a task's prompts."""

import os
from pathlib import Path
from typing import Any

from acdc.errors import FileError, RunError
from acdc.features.reading.corpus import LENGTH, windows_of
from acdc.files import read_bytes
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.prompts.batch import PromptBatch
from acdc.task import load_task
from acdc.task.table_file import SUFFIXES, rows_of

__all__ = ["COLUMN", "MOST_TOKENS", "N_OF_TASK", "corpus_of"]

COLUMN = "text"  # of a data file
MOST_TOKENS = 1_000_000  # that are read of a text
N_OF_TASK = 500  # prompts
MAX_BYTES = 2**30  # of a text


def corpus_of(
    model: PatchableModel,
    *,
    text: str | os.PathLike[str] | None = None,
    task: Any = None,
    n: int = N_OF_TASK,
    length: int = LENGTH,
    most: int = MOST_TOKENS,
    bos: bool | None = None,
    seed: int = SEED,
    task_options: dict[str, Any] | None = None,
) -> PromptBatch:
    """The windows of a text, or a task's clean prompts.

    Args:
        text: A file: of a data file (JSON lines, JSON, CSV, TSV) the column `text`, each row a text of its own; else
            the whole file is one text.
        task: A name, a file, a class, or pairs; `n` of its prompts are taken.
        length: Tokens of a window of text.
        most: How many tokens of a text are read at most.

    Raises:
        FileError: The file can't be read, is no UTF-8 text, or has no column `text`.
        TaskError: The text is empty, or the prompts don't fit the model.
        RunError: Both or neither are given, or a number is out of range.
    """
    if (text is None) == (task is None):
        raise RunError("name either a text's file or a task to read the features on (--text FILE, --task NAME)")
    if most < 1 or length < 2:
        raise RunError(f"at least 1 token is read, in windows of at least 2; not {most} in windows of {length}")
    if text is None:
        return load_task(task, **(task_options or {})).batch(model.tokenizer, n, seed, bos=bos)
    path = Path(text).expanduser()
    return windows_of(_texts(path), model, length=length, most=most, bos=bos, name=path.name)


def _texts(path: Path) -> list[str]:
    content = read_bytes(path, max_bytes=MAX_BYTES)
    if path.suffix.lower() in SUFFIXES:
        return [_text_of(row.values, f"{path}, {row.where}") for row in rows_of(content, path)]
    try:
        return [content.decode("utf-8-sig")]
    except UnicodeDecodeError:
        raise FileError(f"{path} is no UTF-8 text") from None


def _text_of(values: dict[str, Any], where: str) -> str:
    found = values.get(COLUMN)
    if not isinstance(found, str):
        columns = ", ".join(map(repr, values)) or "none"
        raise FileError(f"{where}: expected text in the column {COLUMN!r} (columns: {columns})")
    return found
