"""What a format of dictionaries is: how it is told from others, read and written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from acdc.errors import FileError
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site
from acdc.models import PatchableModel

__all__ = ["Format", "Reading", "one_of_all"]


@dataclass(frozen=True)
class Reading:
    """What the reader of a format is told beside the folder.

    Attributes:
        name: The dictionary as it was asked for; its parts may say what a file doesn't.
        site: Where it reads, for files that don't say.
        model: Whose activations it reads; some files need it.
        dtype: Of the tensors; None for float32, or float64 where the file has that.
        input_scale: Activations were multiplied by it in training, and the weights don't hold it yet.
    """

    name: str
    site: Site | None = None
    model: PatchableModel | None = None
    dtype: torch.dtype | None = None
    input_scale: float | None = None


@dataclass(frozen=True)
class Format:
    """A format of dictionaries.

    Attributes:
        name: What `format=` calls it.
        summary: Whose it is.
        files: Which files make a folder one of this format, for people.
        patterns: What its files are called, with wildcards and `{layer}`: these are downloaded from the hub.
        recognises: Whether a folder is of this format.
        read: The folder's dictionaries, in the order of their layers.
        write: Write dictionaries into a folder that is there; None where the format is only read.
    """

    name: str
    summary: str
    files: str
    patterns: tuple[str, ...]
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Reading], tuple[Dictionary, ...]]
    write: Callable[[Sequence[Dictionary], Path], None] | None = None


def one_of_all(dictionaries: Sequence[Dictionary], format: str) -> Dictionary:
    """The only dictionary, for formats whose folders hold one.

    Raises:
        FileError: There are more.
    """
    if len(dictionaries) != 1:
        raise FileError(f"a folder of {format} holds one dictionary, not {len(dictionaries)}: save each in its own")
    return dictionaries[0]
