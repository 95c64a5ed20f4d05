"""What was read before of dictionaries' features: found again by what these are, whatever they are called."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from acdc.errors import FileError
from acdc.features.dictionary import Dictionary
from acdc.features.reading import FeatureReading, load_reading
from acdc.features.reading.read import features_hash
from acdc.features.reading.saved import about_of
from acdc.runs.features.reading import ENDING, READINGS

__all__ = ["readings_of"]

logger = logging.getLogger(__name__)


def readings_of(dictionaries: Sequence[Dictionary], out: str | os.PathLike[str]) -> list[FeatureReading | None]:
    """The newest reading of each dictionary below `out`; None where there is none.

    No model is run. A damaged file is passed over, with a warning.
    """
    newest = _newest(Path(out).expanduser() / READINGS)
    if not newest:
        return [None] * len(dictionaries)
    paths = [newest.get(features_hash(each)) for each in dictionaries]
    return [None if path is None else _loaded(path) for path in paths]


def _newest(folder: Path) -> dict[str, Path]:
    """The files by their dictionaries' hashes."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob(f"*{ENDING}"), key=lambda path: path.stat().st_mtime):
        try:
            found[about_of(path).dictionary_sha256] = path
        except FileError as error:
            logger.warning("%s", error)
    return found


def _loaded(path: Path) -> FeatureReading | None:
    try:
        return load_reading(path)
    except FileError as error:
        logger.warning("%s", error)
        return None
