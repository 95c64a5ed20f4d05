"""Reading and writing dictionaries: the public verbs."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from acdc.errors import FileError
from acdc.features.dictionary import Dictionary
from acdc.features.formats.format import Reading
from acdc.features.formats.models import is_same_model
from acdc.features.formats.registry import FORMATS, find_format, format_of, patterns_of
from acdc.features.formats.source import folder_of
from acdc.features.sites import Site
from acdc.models import PatchableModel

__all__ = ["load", "load_set", "save"]

logger = logging.getLogger(__name__)


def load(
    name: str | os.PathLike[str],
    *,
    site: Site | str | None = None,
    model: PatchableModel | None = None,
    format: str | None = None,
    dtype: torch.dtype | None = None,
    input_scale: float | None = None,
    revision: str | None = None,
) -> Dictionary:
    """Read one dictionary, in any format of `FORMATS`.

    Args:
        name: A folder, or `owner/repository/folder` on the Hugging Face hub, of which the files of its format alone are
            downloaded; `@revision` may follow.
        site: Where it reads, for files that don't say; of a set, the one that reads there, which alone is downloaded.
        model: Whose activations it is for: its widths and layers are checked. Transcoders that read before a norm's
            gain need it.
        format: A name in `FORMATS`; told from the files if None.
        dtype: Of the weights; None for float32, or float64 where the file has that. Files in 16 bits are read in
            float32 so that sums over features don't lose digits.
        input_scale: For files whose activations were scaled by one number that the weights don't hold: that number.
        revision: Branch, tag or commit on the hub.

    Raises:
        FileError: There is no such folder, it is of no format that is known, damaged, or asks for what isn't read here;
            or it holds several dictionaries.
        ModelError: It doesn't fit the model.

    Example:
        `load("sae", model=model).encode(x)`
    """
    at, name = _site(site), os.fspath(name)
    folder = folder_of(name, patterns_of(format, at), revision=revision)
    found: Sequence[Dictionary]
    if format is None and at is not None and find_format(folder) is None:
        found = _inside(folder, Reading(name, None, model, dtype, input_scale))
    else:
        chosen = format_of(folder, name) if format is None else FORMATS.find(format)
        found = chosen.read(folder, Reading(name, at, model, dtype, input_scale))
    return _checked([_chosen(found, at, name)], model)[0]


def load_set(
    name: str | os.PathLike[str],
    *,
    model: PatchableModel | None = None,
    format: str | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
) -> tuple[Dictionary, ...]:
    """Read several dictionaries in the order of their sites: a set like circuit-tracer's, or a folder of folders.

    Args:
        name: A folder, or `owner/repository/folder` on the hub, of which all dictionaries are downloaded.
        model: See `load`, as for the other arguments.

    Raises:
        FileError: There is none, or one can't be read.
        ModelError: One doesn't fit the model.
    """
    name = os.fspath(name)
    folder = folder_of(name, patterns_of(format), revision=revision, whole=True)
    if format is not None or find_format(folder):
        chosen = format_of(folder, name) if format is None else FORMATS.find(format)
        return _checked(chosen.read(folder, Reading(name, None, model, dtype)), model)
    return _checked(_inside(folder, Reading(name, None, model, dtype)), model)


def _inside(folder: Path, asked: Reading) -> list[Dictionary]:
    """The dictionaries in folders of a folder, in the order of their sites."""
    inside = [path for path in sorted(folder.rglob("*")) if path.is_dir() and find_format(path)]
    if not inside:
        format_of(folder, asked.name)  # says what was looked for
    found: list[Dictionary] = []
    for path in inside:
        name = f"{asked.name}/{path.relative_to(folder).as_posix()}"
        found += format_of(path, name).read(path, replace(asked, name=name))
    return sorted(found, key=lambda each: (each.reads, each.name))


def save(
    dictionaries: Dictionary | Sequence[Dictionary], folder: str | os.PathLike[str], *, format: str = "saelens"
) -> Path:
    """Write a dictionary into a folder, which is made; in circuit-tracer's format, one for every layer.

    Numbers are written as they are: what is read again is the same, bit for bit.

    Args:
        format: A name in `FORMATS` of one that is written.

    Raises:
        FileError: The format can't hold it, or the folder can't be written.
        UnknownNameError: There is no such format.
    """
    chosen, folder = FORMATS.find(format), Path(folder).expanduser()
    if chosen.write is None:
        written = ", ".join(entry.name for entry in FORMATS.values() if entry.write is not None)
        raise FileError(f"{chosen.name} is only read; write one of {written}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"can't make the folder {folder}: {error.strerror or error}") from None
    chosen.write([dictionaries] if isinstance(dictionaries, Dictionary) else dictionaries, folder)
    return folder


def _site(site: Site | str | None) -> Site | None:
    return Site.parse(site) if isinstance(site, str) else site


def _chosen(found: Sequence[Dictionary], site: Site | None, name: str) -> Dictionary:
    """The only one, or the one of the site."""
    here = found if site is None else [each for each in found if each.reads == site]
    if len(here) == 1:
        return here[0]
    if len(found) == 1:
        raise FileError(f"{name!r} reads {found[0].reads}, not {site}")
    ends = f"{found[0].reads} to {found[-1].reads}"
    wanted = "" if site is None else f", and none reads {site}"
    raise FileError(f"{name!r} holds {len(found)} dictionaries ({ends}){wanted}: name one by its site, or use load_set")


def _checked(found: Sequence[Dictionary], model: PatchableModel | None) -> tuple[Dictionary, ...]:
    """The dictionaries, of which each fits the model; one of another model of the same widths is told."""
    if model is None:
        return tuple(found)
    for dictionary in found:
        dictionary.check_fits(model)
    others = {each.model: each for each in found if each.model and not is_same_model(each.model, model.name)}
    for trained_on, first in others.items():
        logger.warning(
            "dictionary %r was trained on %r, and %r is given: of another model its features mean nothing",
            *(first.name, trained_on, model.name),
        )
    return tuple(found)
