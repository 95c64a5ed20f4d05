"""Training a tuned lens by what a user names: a text's file, a task, or random tokens."""

import logging
import os
from pathlib import Path
from typing import Any

from acdc.interpret.lenses.training import STEPS, TOKENS, LensTraining, train_tuned_lens
from acdc.interpret.lenses.tuned_file import save_tuned_lens
from acdc.interpret.lenses.windows import HELD_OUT, random_windows, split, text_windows, window_length
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.options.ranges import Seed, checked
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import PromptBatch
from acdc.runs.text_sources import is_text, read_text
from acdc.task import load_task

__all__ = ["RANDOM", "train_lens"]

logger = logging.getLogger(__name__)

RANDOM = "random"
LEAST_TOKENS = 100_000  # of a text, below which a lens may learn it by heart
FEW_PROMPTS = 200  # of a task


def train_lens(
    model: PatchableModel,
    source: str,
    folder: str | os.PathLike[str],
    *,
    steps: int = STEPS,
    tokens: int = TOKENS,
    length: int | None = None,
    seed: int = SEED,
    bos: bool | None = None,
    progress: Progressing = None,
    **task_options: Any,
) -> LensTraining:
    """Train a lens and save it; a training that was stopped goes on when it is asked for again.

    Args:
        source: A text's file, the name of a task, whose prompts are taken, or `random`, for random tokens.
        folder: Where the lens is saved, in the published format.
        steps, tokens: Number of steps, and about how many tokens each takes.
        length: Tokens of a window of text.

    Raises:
        FileError: The file isn't text, or the lens can't be saved.
        RunError: There are no such windows.
        TaskError, UnknownNameError: There is no such file or task, or the text is too short.
    """
    length = window_length(model, length)
    seed = checked("seed", Seed, seed)
    texts, held_out = _texts(model, source, steps * tokens, length, seed, bos, task_options)
    with shown(progress) as tell:
        found = train_tuned_lens(
            model, texts, held_out, steps=steps, tokens=tokens, seed=seed, keep=Path(folder), progress=tell
        )
    save_tuned_lens(found.lens, folder)
    return found


def _texts(
    model: PatchableModel,
    source: str,
    n_tokens: int,
    length: int,
    seed: int,
    bos: bool | None,
    task_options: dict[str, Any],
) -> tuple[PromptBatch, PromptBatch]:
    """What is trained on, and what is held out; with a warning where it teaches little."""
    if source == RANDOM:
        logger.warning("random tokens are no text: the lens learns little of what the model says of text")
        n = max(2, n_tokens // length)
        return split(random_windows(model, n + n // (HELD_OUT - 1) + 1, length=length, seed=seed))
    if is_text(source):
        windows = text_windows(model, read_text(source), length=length, bos=bos)
        if (size := int(windows.attention.sum())) < LEAST_TOKENS:
            logger.warning("the text has %s tokens; a lens should see at least %s", f"{size:,}", f"{LEAST_TOKENS:,}")
        return split(windows)
    task = load_task(source, **task_options)
    logger.warning("prompts of one task are alike: the lens says little of other text")
    chosen: dict[str, Any] = {"n": FEW_PROMPTS, "seed": seed, "bos": bos}
    return task.batch(model.tokenizer, **chosen), task.batch(model.tokenizer, held_out=True, **chosen)
