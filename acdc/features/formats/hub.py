"""Dictionaries on the Hugging Face hub: what of a repository is downloaded, and why it could not be.

A place there is `owner/repository/folder`, behind which `@revision` may stand as in circuit-tracer's names, or
`hf://owner/repository/path?revision=main` as in its config files.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import parse_qs

from acdc.errors import FileError, nearest, printable

__all__ = ["Place", "downloaded_files", "downloaded_folder"]

logger = logging.getLogger(__name__)

NAME = re.compile(r"(?P<repository>\w[\w.-]*/[\w.-]+)(?:/(?P<inside>[^@?]*))?(?:@(?P<revision>[\w./-]+))?")
SCHEME, RUN = "hf://", "config.json"
LARGE = 2**28  # bytes of a download that are told before it begins
SECONDS = 10  # for the hub's first answer
SHOWN = 6  # folders in a message


@dataclass(frozen=True)
class Place:
    """A place on the hub.

    Attributes:
        name: As it was given, for messages.
        inside: The path in the repository; empty for all of it.
        revision: Branch, tag or commit; None for the newest of its main branch.
    """

    name: str
    repository: str
    inside: str = ""
    revision: str | None = None

    @classmethod
    def parse(cls, name: str) -> "Place | None":
        """The place that a name means; None if it can be none.

        >>> Place.parse("me/saes/layer_1@v2").inside, Place.parse("hf://me/saes/a.npz?revision=v2").revision
        ('layer_1', 'v2')
        """
        path, _, options = name.removeprefix(SCHEME).partition("?")
        if (match := NAME.fullmatch(path)) is None:
            return None
        revision = parse_qs(options).get("revision", [match["revision"]])[0]
        return cls(name, match["repository"], (match["inside"] or "").strip("/"), revision)

    def at(self, revision: str | None) -> "Place":
        """The same of a revision that is given beside the name.

        Raises:
            FileError: The name gives another.
        """
        if revision is not None and self.revision not in (None, revision):
            raise FileError(f"{self.name!r} names the revision {self.revision!r}, not {revision!r}: give one of them")
        return replace(self, revision=revision or self.revision)


def downloaded_folder(place: Place, patterns: Sequence[str], *, whole: bool) -> Path:
    """The folder of a place, with its files that dictionaries are read from.

    Args:
        patterns: What those files are called, with wildcards.
        whole: Also those of the folders in it.

    Raises:
        FileError: The hub doesn't give it, or holds no such file there.
    """
    files = _files(place)
    below = f"{place.inside}/" if place.inside else ""
    wanted = [f"{below}{start}{pattern}" for pattern in patterns for start in ("", *(["*/"] if whole else []))]
    if files is not None:
        deep = below.count("/")
        wanted = [f for f in files if any(fnmatch(f, p) for p in wanted) and (whole or f.count("/") == deep)]
        if not {_name(file) for file in wanted} - {RUN}:
            where = f"in {printable(place.inside, 100)!r}" if place.inside else "at its top"
            raise FileError(f"{place.repository} on the hub has no dictionary {where}{_hint(place, patterns, files)}")
        above = f"{place.inside.rpartition('/')[0]}/{RUN}".lstrip("/")  # what sparsify says of a run
        wanted += {above} & files.keys()
    folder = Path(_snapshot(place, wanted, files), place.inside)
    if not folder.is_dir():
        where = printable(place.inside, 100)
        raise FileError(f"{place.repository} was downloaded before without {where!r}, and the hub can't be asked")
    return folder


def downloaded_files(places: Sequence[Place]) -> list[Path]:
    """Files on the hub, those of one repository asked for together.

    Raises:
        FileError: The hub doesn't give one.
    """
    of_one: dict[tuple[str, str | None], list[Place]] = {}
    for place in places:
        of_one.setdefault((place.repository, place.revision), []).append(place)
    found: dict[Place, Path] = {}
    for group in of_one.values():
        snapshot = _snapshot(group[0], [place.inside for place in group], _files(group[0]))
        found |= {place: Path(snapshot, place.inside) for place in group}
    for place, path in found.items():
        if not path.is_file():
            raise FileError(f"{place.repository} on the hub has no file {printable(place.inside, 200)!r}")
    return [found[place] for place in places]


def _files(place: Place) -> dict[str, int] | None:
    """The repository's files with their sizes; None where the hub doesn't say."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    try:
        commit = HfApi().model_info(place.repository, revision=place.revision, timeout=SECONDS).sha  # it tries once
        found = HfApi().list_repo_tree(place.repository, recursive=True, revision=commit)
        return {each.path: each.size for each in found if isinstance(each, RepoFile)}
    except Exception:  # what is wrong is told where the download fails; what was downloaded before may do
        return None


def _snapshot(place: Place, wanted: Sequence[str], files: Mapping[str, int] | None) -> str:
    """The folder of the repository, in which what is wanted lies."""
    from huggingface_hub import snapshot_download

    _tell_size(place, {file: size for file, size in (files or {}).items() if file in wanted})
    try:
        return snapshot_download(place.repository, revision=place.revision, allow_patterns=list(wanted))
    except Exception as error:  # no address, no connection, no such repository, a gated one
        name = printable(place.name, 200)
        raise FileError(f"{name!r} is no local folder, and the hub did not give it: {_why(error, place)}") from None


def _tell_size(place: Place, sizes: Mapping[str, int]) -> None:
    """Say how much is downloaded, where it is much."""
    from huggingface_hub import try_to_load_from_cache

    new = [
        size
        for file, size in sizes.items()
        if try_to_load_from_cache(place.repository, file, revision=place.revision) is None
    ]
    if new and sum(new) >= LARGE:
        logger.warning("downloading %d files (%.1f GB) of %s", len(new), sum(new) / 1e9, place.repository)


def _why(error: Exception, place: Place) -> str:
    """What is wrong, and what to do."""
    from huggingface_hub import constants, errors

    where = f"{constants.ENDPOINT}/{place.repository}"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner gives access on request; ask at {where}, and log in (hf auth login)"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return f"there is no {where}, or it is private; check the name, or log in (hf auth login)"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{place.repository} has no branch, tag or commit {place.revision!r}"
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause = error.__cause__
        offline = isinstance(cause, errors.OfflineModeIsEnabled)
        way = "HF_HUB_OFFLINE is set" if offline else f"there is no way to {constants.ENDPOINT} ({_line(cause)})"
        return f"{way}, and no whole copy was downloaded before"
    return _line(error)


def _line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return printable(lines[0] if lines else type(error).__name__, 300)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _hint(place: Place, patterns: Sequence[str], files: Iterable[str]) -> str:
    """Where the repository has dictionaries: those below the place, or else that of the nearest name."""
    own = [pattern for pattern in patterns if pattern != RUN]
    there = sorted({file.rpartition("/")[0] for file in files if any(fnmatch(_name(file), p) for p in own)})
    below = [folder for folder in there if folder.startswith(f"{place.inside}/".lstrip("/"))]
    if below:
        return f": name one of {', '.join(below[:SHOWN])}{', ...' if len(below) > SHOWN else ''}"
    near = nearest(place.inside, there)
    return ", nor anywhere else" if not there else f": did you mean {near!r}?" if near else f"; it has {there[0]!r}"
