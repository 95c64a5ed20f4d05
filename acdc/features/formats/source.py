"""Where a dictionary's files are: a folder here, or one of a repository on the Hugging Face hub."""

import re
from pathlib import Path

from acdc.errors import FileError, printable

__all__ = ["folder_of"]

ON_HUB = re.compile(r"[\w.-]+/[\w.-]+(?:/[\w./-]+)?")


def folder_of(name: str, *, revision: str | None = None, whole: bool = False) -> Path:
    """The folder of this name: one that is here, or `owner/repository/folder` on the hub, which is downloaded.

    Args:
        revision: Branch, tag or commit on the hub.
        whole: Download also the folders in it.

    Raises:
        FileError: There is no such folder, and the hub doesn't give it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise FileError(f"{name!r} is a file; give the folder that holds it")
    if not ON_HUB.fullmatch(name) or name.startswith("."):
        raise FileError(f"there is no folder {printable(name, 200)!r}")
    return _downloaded(name, revision, whole)


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
        why = printable(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__, 300)
        raise FileError(f"{name!r} is no local folder, and the hub did not give it ({why})") from None
    if not (folder := Path(snapshot, *inside)).is_dir():
        raise FileError(f"{owner}/{repository} on the hub has no folder {'/'.join(inside)!r}")
    return folder
