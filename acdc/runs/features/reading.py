"""A dictionary's features as they were read on a text: read once, kept in one file, and found again."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from acdc.errors import FileError, RunError
from acdc.features.dictionary import Dictionary
from acdc.features.reading import FeatureReading, load_reading, read_features, save_reading
from acdc.features.reading.read import features_hash
from acdc.features.site_values import SKIP
from acdc.options.defaults import OUT, SEED
from acdc.progress.bars import Progressing, shown
from acdc.runs.features.corpus import MOST_TOKENS, N_OF_TASK, corpus_of
from acdc.runs.features.dictionaries import open_dictionary
from acdc.runs.fingerprint import fingerprint, model_identity
from acdc.runs.folders import check_writable, runs_folder

__all__ = ["ENDING", "READINGS", "Read", "read_on", "saved_reading"]

READINGS, ENDING = "features", ".features.npz"  # the folder below `out`, and its files


class Read(NamedTuple):
    """Features, and the file that they are kept in."""

    reading: FeatureReading
    path: Path


def read_on(
    dictionary: str | os.PathLike[str] | Dictionary,
    model: Any,
    *,
    text: str | os.PathLike[str] | None = None,
    task: Any = None,
    n: int = N_OF_TASK,
    length: int | None = None,
    most: int = MOST_TOKENS,
    skip: int = SKIP,
    site: str | None = None,
    seed: int = SEED,
    bos: bool | None = None,
    task_options: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] = OUT,
    progress: Progressing = None,
    **loading: Any,
) -> Read:
    """Read a dictionary's features on a text, or give what was read of the same dictionary, model and text before.

    Args:
        dictionary: A folder or a name on the hub, in any format that is read, or a `Dictionary`.
        model, loading: As for `acdc.discover`.
        text, task, n, length, most: What they are read on: see `acdc.runs.features.corpus`.
        skip: How many first tokens of a window aren't counted.
        site: Where the dictionary reads, if its files don't say.
        out: The folder in whose subfolder `features` the reading is kept.

    Raises:
        ACDCError: Something can't be loaded, read or written.

    Example:
        `read_on("my-sae", "smollm2", text="book.txt").reading.frame()`
    """
    loaded, found = open_dictionary(dictionary, model, site=site, **loading)
    options: dict[str, Any] = {"n": n, "length": length, "most": most, "bos": bos, "seed": seed}
    corpus = corpus_of(loaded, text=text, task=task, task_options=dict(task_options or {}), **options)
    folder = _folder(out, dictionary)
    identity = {"dictionary": features_hash(found), "model": model_identity(loaded), "corpus": corpus.fingerprint}
    path = folder / f"{fingerprint(identity | {'skip': skip, 'seed': seed})[:16]}{ENDING}"
    if path.exists():
        os.utime(path)  # it is the newest again
        return Read(load_reading(path), path)
    check_writable(folder)
    with shown(progress) as tell:
        reading = read_features(loaded, found, corpus, skip=skip, seed=seed, progress=tell)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"can't make the folder {folder}: {error.strerror or error}") from None
    return Read(reading, save_reading(reading, path))


def saved_reading(
    dictionary: str | os.PathLike[str], *, model: str | None = None, out: str | os.PathLike[str] = OUT
) -> Read:
    """What was read last of a dictionary's features; no model and no dictionary is loaded.

    Args:
        dictionary: As it was named when it was read, or the file of a reading itself.
        model: Only what was read of this one.

    Raises:
        RunError: Nothing was.
        FileError: The file is damaged.
    """
    if (file := Path(dictionary).expanduser()).name.endswith(ENDING):
        return Read(load_reading(file), file)
    paths = sorted(_folder(out, dictionary).glob(f"*{ENDING}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in paths:
        reading = load_reading(path)
        if model is None or reading.about.model == model:
            return Read(reading, path)
    of = "" if model is None else f" of {model!r}"
    raise RunError(
        f"the features of {os.fspath(dictionary)!r}{of} were not read yet (looked in {Path(out) / 'features'}): name "
        "the model and a text, or a task, to read them on (--model M --text FILE, or --task NAME)"
    )


def _folder(out: str | os.PathLike[str], dictionary: str | os.PathLike[str] | Dictionary) -> Path:
    """Where a dictionary's readings lie: folders of the same name in different places have different ones."""
    name = dictionary.name if isinstance(dictionary, Dictionary) else os.fspath(dictionary)
    local = Path(name).expanduser()
    whole = str(local.resolve()) if local.exists() else name
    return runs_folder(Path(out), READINGS, name, hashlib.sha256(whole.encode()).hexdigest()[:8])
