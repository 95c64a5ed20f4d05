"""The text that features are read on, as a user names it: a text (`acdc.runs.text_sources`), or a task's prompts."""

import logging
import os
from pathlib import Path
from typing import Any

from acdc.errors import FileError, RunError
from acdc.features.reading.corpus import windows_of
from acdc.interpret.lenses.windows import window_length
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.prompts.batch import PromptBatch
from acdc.runs.text_sources import DATASET, TEXT_KEY, documents, read_text
from acdc.task import load_task

__all__ = ["MOST_TOKENS", "N_OF_TASK", "corpus_of"]

MOST_TOKENS = 1_000_000  # that are read of a text
N_OF_TASK = 500  # prompts

logger = logging.getLogger(__name__)


def corpus_of(
    model: PatchableModel,
    *,
    text: str | os.PathLike[str] | None = None,
    task: Any = None,
    n: int = N_OF_TASK,
    length: int | None = None,
    most: int = MOST_TOKENS,
    bos: bool | None = None,
    seed: int = SEED,
    task_options: dict[str, Any] | None = None,
) -> PromptBatch:
    """The windows of a text, or a task's clean prompts.

    Args:
        text: A file: of a data file (JSON lines, JSON, CSV, TSV) the column `text`, each row a text of its own; else
            the whole file is one text. Or `hf:NAME`, a data set.
        task: A name, a file, a class, or pairs; `n` of its prompts are taken.
        length: Tokens of a window of text; 128, or the model's context where that is shorter, if None.
        most: How many tokens of a text are read at most.

    Raises:
        FileError: The file can't be read, is no UTF-8 text, or has no column `text`.
        TaskError: The text is empty, or the prompts don't fit the model.
        RunError: Both or neither are given, or a number is out of range.
    """
    if (text is None) == (task is None):
        raise RunError("name either a text's file or a task to read the features on (--text FILE, --task NAME)")
    if most < 1:
        raise RunError(f"at least 1 token is read, not {most}")
    length = window_length(model, length)
    if text is None:
        return load_task(task, **(task_options or {})).batch(model.tokenizer, n, seed, bos=bos)
    source = str(text) if str(text).startswith(DATASET) else str(Path(text).expanduser())
    if (texts := documents(source)) is None:
        read_text(source)  # says so where it isn't there at all
        raise FileError(f"{source}: expected text in the column {TEXT_KEY!r}")
    found = windows_of(texts, model, length=length, most=most, bos=bos, name=Path(source).name)
    if (n := int(found.attention.sum())) < length:
        logger.warning("%s has %d tokens, fewer than a window: densities and rules of so few mean little", source, n)
    return found
