"""Where a dictionary's files are: a folder here, or one of a repository on the Hugging Face hub."""

import os
from collections.abc import Sequence
from pathlib import Path

from acdc.errors import FileError, nearest, printable
from acdc.features.formats.hub import SCHEME, Place, downloaded_files, downloaded_folder
from acdc.zoo import dictionary_names, dictionary_path

__all__ = ["check_named", "files_of", "folder_of"]


def folder_of(name: str, patterns: Sequence[str], *, revision: str | None = None, whole: bool = False) -> Path:
    """The folder of this name: one that is here, a bundled dictionary's, or a place on the hub.

    Args:
        patterns: What the files are called that are downloaded, with wildcards.
        revision: Branch, tag or commit on the hub.
        whole: Download also the folders in it.

    Raises:
        FileError: There is no such folder, and the hub doesn't give it.
    """
    found = _named(name)
    return found if isinstance(found, Path) else downloaded_folder(found.at(revision), patterns, whole=whole)


def check_named(name: str | os.PathLike[str]) -> None:
    """Raise `FileError` for what can be no dictionary's name, before a model is loaded for it; the hub isn't asked."""
    _named(os.fspath(name))


def _named(name: str) -> Path | Place:
    """The folder of this name, or the place on the hub."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    bundled, _, inside = name.partition("/")
    if bundled in dictionary_names():
        return _bundled(bundled, inside)
    if folder.is_file():
        raise FileError(f"{name!r} is a file; give the folder that holds it")
    if (place := Place.parse(name)) is None:
        near = nearest(name, dictionary_names())
        hint = "" if near is None else f": did you mean the bundled {near!r}?"
        raise FileError(f"there is no folder {printable(name, 200)!r}{hint}")
    return place


def _bundled(name: str, inside: str) -> Path:
    """The folder of a bundled dictionary, or of one of a bundled set."""
    folder = dictionary_path(name)
    there = sorted(path.parent.name for path in folder.glob("*/README.md"))
    if inside and inside not in there:
        of = f"it has {', '.join(there)}" if there else "it is one dictionary"
        raise FileError(f"the bundled {name!r} has no {printable(inside, 200)!r}: {of}")
    return folder / inside


def files_of(names: Sequence[str], folder: Path) -> list[Path]:
    """Files that a config names: `hf://owner/repository/path?revision=main`, or one beside the config.

    Raises:
        FileError: The hub doesn't give one, or a name is none.
    """
    places = {name: Place.parse(name) for name in names if name.startswith(SCHEME)}
    for name, place in places.items():
        if place is None or not place.inside:
            raise FileError(f"{printable(name, 200)!r} must be a file on the hub: hf://owner/repository/path")
    found = dict(zip(places, downloaded_files([place for place in places.values() if place]), strict=True))
    return [found[name] if name in found else folder / name for name in names]
