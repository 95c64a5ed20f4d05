"""Where a dictionary's files are: a folder here, or one of a repository on the Hugging Face hub."""

import re
from pathlib import Path
from urllib.parse import parse_qs

from acdc.errors import FileError, printable
from acdc.zoo import dictionary_names, dictionary_path

__all__ = ["file_of", "folder_of"]

ON_HUB = re.compile(r"[\w.-]+/[\w.-]+(?:/[\w./-]+)?")


def folder_of(name: str, *, revision: str | None = None, whole: bool = False) -> Path:
    """The folder of this name: one that is here, a bundled dictionary's, or `owner/repository/folder` on the hub.

    Args:
        revision: Branch, tag or commit on the hub.
        whole: Download also the folders in it.

    Raises:
        FileError: There is no such folder, and the hub doesn't give it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name in dictionary_names():
        return dictionary_path(name)
    if folder.is_file():
        raise FileError(f"{name!r} is a file; give the folder that holds it")
    if not ON_HUB.fullmatch(name) or name.startswith("."):
        raise FileError(f"there is no folder {printable(name, 200)!r}")
    return _downloaded(name, revision, whole)


def file_of(place: str, folder: Path) -> Path:
    """A file that a config names: `hf://owner/repository/path?revision=main`, or one beside the config.

    Raises:
        FileError: It isn't there, and the hub doesn't give it.
    """
    if not place.startswith("hf://"):
        return folder / place
    from huggingface_hub import hf_hub_download

    path, _, options = place.removeprefix("hf://").partition("?")
    owner, repository, *inside = path.split("/")
    try:
        revision = parse_qs(options).get("revision", [None])[0]
        return Path(hf_hub_download("/".join((owner, repository)), "/".join(inside), revision=revision))
    except Exception as error:
        raise FileError(f"the hub did not give {printable(place, 200)!r} ({_why(error)})") from None


def _downloaded(name: str, revision: str | None, whole: bool) -> Path:
    from huggingface_hub import snapshot_download

    owner, repository, *inside = name.strip("/").split("/")
    below = "".join(f"{part}/" for part in inside)
    try:
        snapshot = snapshot_download(
            f"{owner}/{repository}",
            revision=revision,
            allow_patterns=[f"{below}*"],
            ignore_patterns=None if whole else [f"{below}*/*"],
        )
    except Exception as error:  # no address, no connection, no such repository, a gated one
        raise FileError(f"{name!r} is no local folder, and the hub did not give it ({_why(error)})") from None
    if not (folder := Path(snapshot, *inside)).is_dir():
        raise FileError(f"{owner}/{repository} on the hub has no folder {'/'.join(inside)!r}")
    return folder


def _why(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return printable(lines[0] if lines else type(error).__name__, 300)
