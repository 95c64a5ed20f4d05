"""What sections of an explanation have found, kept in a run's folder, so that none is measured twice."""

import logging
from contextlib import suppress
from pathlib import Path

from acdc.errors import FileError, printable
from acdc.files import read_bytes, write_atomically
from acdc.interpret.explanation import Explanation
from acdc.runs.explained import TABLES

__all__ = ["KeptSections"]

logger = logging.getLogger(__name__)


class KeptSections:
    """The sections of one explanation that are finished.

    Args:
        folder: The run's; None keeps nothing.
        fingerprint: Names circuit, prompts, settings and versions: what others found isn't taken over.
        resume: Whether what lies there is taken over.
    """

    def __init__(self, folder: Path | None, fingerprint: str, *, resume: bool) -> None:
        self.folder = None if folder is None else folder / TABLES / "sections"
        self.fingerprint, self.resume = fingerprint, resume
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise FileError(f"can't make the folder {self.folder}: {error.strerror or error}") from None

    def get(self, name: str) -> Explanation | None:
        """What a section found before; None where it didn't, or what is there is of another explanation."""
        if self.folder is None or not self.resume or not self._path(name).is_file():
            return None
        try:
            return Explanation.model_validate_json(read_bytes(self._path(name)))
        except (FileError, ValueError) as error:
            logger.warning("%s is damaged, and measured anew: %s", self._path(name), printable(str(error), 100))
            return None

    def keep(self, name: str, found: Explanation) -> None:
        """Write what a section found; of earlier explanations nothing is left."""
        if self.folder is None:
            return
        for old in self.folder.glob(f"{name}-*.json"):
            with suppress(OSError):
                old.unlink()
        write_atomically(self._path(name), found.model_dump_json(exclude_unset=True).encode())

    def _path(self, name: str) -> Path:
        assert self.folder is not None, "something is kept"
        return self.folder / f"{name}-{self.fingerprint[:12]}.json"
