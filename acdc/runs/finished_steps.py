"""What the steps of a search have found, a file each in a folder of the run, until the run is finished."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from acdc.errors import FileError
from acdc.files import sweep
from acdc.runs.state_file import StateFile

__all__ = ["FinishedSteps"]

logger = logging.getLogger(__name__)

UNFINISHED = "unfinished"


class FinishedSteps:
    """A step is made once, however often the run is stopped: see `acdc.features.circuits.steps`.

    Two processes at one run write the same files with the same content, each whole.

    Args:
        folder: The run's; made when the first step is kept.
        fingerprint: Names all that decides what steps find. Others' are made anew.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder / UNFINISHED, fingerprint

    def __call__(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """What was found before, else what is found now, which is kept.

        Raises:
            FileError: The file can't be written.
        """
        file = StateFile(self.folder / name, self.fingerprint)
        known = None if file.is_anothers() else file.read()
        if known is not None:
            return known
        found = make()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"can't make {self.folder}: {error.strerror or error}") from None
        file.write(found)
        return found

    @property
    def are_there(self) -> bool:
        """Whether an earlier process left any."""
        return any(self.folder.glob("*.safetensors"))

    def discard(self) -> None:
        """Remove them: the run is over, or came to nothing. What can't be removed does no harm."""
        sweep(self.folder)  # of halves that a kill left
        for path in self.folder.glob("*.safetensors"):
            with suppress(OSError):
                path.unlink()
        for folder in (self.folder, self.folder.parent):
            with suppress(OSError):
                folder.rmdir()  # unless something else lies there
