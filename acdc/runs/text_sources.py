"""Texts by what a user names: a file, rows of a data file, a data set of Hugging Face, or the prompts of a task."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from acdc.errors import FileError, RunError
from acdc.files import read_bytes
from acdc.interpret.lenses.windows import split, text_windows, window_length
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from acdc.runs.data_sets import DATASET, text_of, texts_of_dataset
from acdc.task import load_task
from acdc.task.table_file import MAX_FILE_BYTES, SUFFIXES, rows_of

__all__ = ["DATASET", "PROMPTS", "TEXT_KEY", "documents", "is_text", "read_text", "texts_of"]

logger = logging.getLogger(__name__)

TEXTS = (".txt", ".md")
TEXT_KEY = "text"
MAX_BYTES = 2**30  # of a text
PROMPTS, HELD_OUT = 2000, 200  # of a task


def is_text(source: str) -> bool:
    """Whether a file of text is meant, and no task: it is there, or is named like one."""
    ending = Path(source).suffix.lower()
    return ending in TEXTS or (Path(source).is_file() and ending not in SUFFIXES)


def read_text(source: str) -> str:
    """A file's text.

    Raises:
        FileError: It can't be read, or isn't UTF-8.
    """
    content = read_bytes(source, max_bytes=MAX_BYTES)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(f"{source} is no UTF-8 text") from None


def texts_of(
    model: PatchableModel,
    sources: Sequence[str],
    *,
    tokens: int,
    length: int | None,
    seed: int,
    bos: bool | None = None,
    prompts: int = PROMPTS,
    part: str = "train",
    key: str = TEXT_KEY,
    **task_options: Any,
) -> tuple[PromptBatch, PromptBatch]:
    """What is trained on, and what is held out.

    Args:
        sources: Each a text's file; a data file whose rows have a text each; `hf:NAME` or `hf:NAME:CONFIGURATION`, a
            data set of the hub or a local folder; or the name of a task, whose clean prompts are taken.
        tokens: Of a file or a data set not many more than these are read.
        length: Tokens of a window of text.
        prompts: Of each task; a tenth as many are held out.
        part: Which part (split) of a data set.
        key: Under which a line, or a row of a data set, has its text.

    Raises:
        FileError: A file isn't what its name says.
        RunError: There are no such windows, or `datasets` isn't installed or can't read the data set.
        TaskError, UnknownNameError: There is no such file or task, or the text is too short.
    """
    length = window_length(model, length)
    _check_used(sources, prompts, part, key, task_options)
    most = tokens + tokens // 9 + 2 * length  # a tenth is held out
    found = []
    for source in sources:
        texts = documents(source, part=part, key=key)
        if texts is not None:
            found.append(split(text_windows(model, texts, length=length, bos=bos, most=most)))
            continue
        task = load_task(source, **task_options)
        chosen: dict[str, Any] = {"seed": seed, "bos": bos}
        held_out = task.batch(model.tokenizer, n=max(1, min(HELD_OUT, prompts // 10)), held_out=True, **chosen)
        found.append((task.batch(model.tokenizer, n=prompts, **chosen), held_out))
    return _joined([one for one, _ in found]), _joined([other for _, other in found])


def _check_used(sources: Sequence[str], prompts: int, part: str, key: str, task_options: dict[str, Any]) -> None:
    """Raise `RunError` where an option is given that no source has a use for."""
    sets = [source.startswith(DATASET) for source in sources]
    texts = [is_text(source) for source in sources]
    if part != "train" and not any(sets):
        raise RunError(f"the part {part!r} (--split) is one of a data set (hf:NAME), and none is named")
    if key != TEXT_KEY and not any(a or Path(b).suffix.lower() in SUFFIXES for a, b in zip(sets, sources, strict=True)):
        raise RunError(f"{key!r} (--key) is of rows of a data file or a data set, and none is named")
    if (task_options or prompts != PROMPTS) and all(a or b for a, b in zip(sets, texts, strict=True)):
        given = ", ".join(task_options) or f"prompts, {prompts}"
        raise RunError(f"{given}: these are options of a task, and none is named")


def documents(source: str, *, part: str = "train", key: str = TEXT_KEY) -> Iterable[str] | None:
    """The texts of a source; None where it is no file of text, no rows with text under `key`, and no data set.

    Raises:
        FileError: It can't be read, isn't UTF-8, or a row of it has no text.
        RunError: `datasets` isn't installed, or can't read the data set.
    """
    if source.startswith(DATASET):
        return texts_of_dataset(source.removeprefix(DATASET), part, key)
    if is_text(source):
        return [read_text(source)]
    path = Path(source)
    if path.suffix.lower() in SUFFIXES:
        rows = rows_of(read_bytes(path, max_bytes=MAX_FILE_BYTES), path)
        if key in rows[0].values:
            return [text_of(row.values, key, f"{path}, {row.where}") for row in rows]
    return None


def _joined(batches: Sequence[PromptBatch]) -> PromptBatch:
    """The clean sides of all as one batch of texts."""
    width = max(batch.n_pos for batch in batches)
    clean = torch.cat([pad(batch.clean, (width - batch.n_pos, 0)) for batch in batches])
    attention = torch.cat([pad(batch.attention, (width - batch.n_pos, 0)) for batch in batches])
    none = torch.empty(len(clean), 0, dtype=torch.long)
    return PromptBatch(clean, clean, attention, none, none, task=", ".join(dict.fromkeys(b.task for b in batches)))
