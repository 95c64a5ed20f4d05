"""Texts of a data set of Hugging Face, read as they are asked for: of the hub, of a folder, or one that was saved.

hf:owner/name    hf:owner/name:configuration    hf:path/to/folder
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from acdc.errors import FileError, RunError, printable

__all__ = ["DATASET", "text_of", "texts_of_dataset"]

DATASET = "hf:"
SAVED = ("state.json", "dataset_dict.json")  # files of `save_to_disk`


def texts_of_dataset(name: str, part: str, key: str) -> Iterator[str]:
    """The texts of a data set.

    Args:
        name: Its name without `hf:`.
        part: Which split; of a saved data set without splits it must be the name that it has, if it has one.
        key: Under which a row has its text.

    Raises:
        RunError: `datasets` isn't installed, or can't read it; also where a later row can't be read.
        FileError: A row has no text.
    """
    try:
        import datasets
    except ImportError:
        raise RunError(
            f"{DATASET}{name} needs the package datasets: pip install 'acdc-engine[datasets]', or give a file of text"
        ) from None
    try:
        for i, row in enumerate(_rows(datasets, name, part)):
            yield text_of(row, key, f"{DATASET}{name}, row {i}")
    except (FileError, RunError):
        raise
    except Exception as error:  # whatever it, or a hub, says
        raise RunError(f"datasets can't read {name!r} ({part}): {printable(str(error), 300)}") from None


def _rows(datasets: Any, name: str, part: str) -> Any:
    """The rows of a data set's part."""
    if any((Path(name) / file).is_file() for file in SAVED):
        found = datasets.load_from_disk(name)
        if isinstance(found, Mapping):
            return found[part]
        if found.split not in (None, part):
            raise RunError(f"the data set {name} holds the split {found.split}, not {part}")
        return found
    config = None
    if not Path(name).exists():
        name, _, config = name.partition(":")
    return datasets.load_dataset(name, config or None, split=part, streaming=True)


def text_of(row: Mapping[str, Any], key: str, where: str) -> str:
    """A row's text.

    Raises:
        FileError: It has none.
    """
    if not isinstance(row.get(key), str):
        raise FileError(
            f"{where} has no text under {key!r}; it has {printable(', '.join(map(str, row)), 100) or 'nothing'}"
        )
    return str(row[key])
