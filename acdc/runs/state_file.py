"""A search's state on disk: named tensors in one safetensors file, which says whose they are and vouches for them."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from acdc.files import write_atomically

__all__ = ["StateFile", "state_path"]

logger = logging.getLogger(__name__)


def state_path(checkpoint: Path) -> Path:
    """Where the state of a checkpoint lies."""
    return checkpoint.with_suffix(".safetensors")


class StateFile:
    """The state that belongs to a checkpoint.

    Args:
        checkpoint: The checkpoint's file.
        fingerprint: Names the run.
    """

    def __init__(self, checkpoint: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = state_path(checkpoint), fingerprint

    def read(self) -> dict[str, Tensor] | None:
        """The state; None where there is none, or, with a warning, where it is damaged or another run's."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                state, told = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            logger.warning("%s is damaged (%s); the work begins again", self.path, error)
            return None
        if told != self._vouch(state):
            logger.warning("%s is damaged or another run's; the work begins again", self.path)
            return None
        return state

    def is_anothers(self) -> bool:
        """Whether a state that can be read lies here, but of another run."""
        try:
            with safe_open(self.path, "pt") as file:
                told = file.metadata() or {}
        except (SafetensorError, OSError):
            return False
        return told.get("fingerprint", self.fingerprint) != self.fingerprint

    def write(self, state: Mapping[str, Tensor]) -> None:
        """Replace the state.

        Raises:
            FileError: The file can't be written.
        """
        whole = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        write_atomically(self.path, save(whole, self._vouch(whole)))

    def _vouch(self, state: Mapping[str, Tensor]) -> dict[str, str]:
        """What the file says of itself."""
        digest = hashlib.blake2b(digest_size=16)
        for name in sorted(state):
            digest.update(name.encode() + state[name].reshape(-1).view(torch.uint8).numpy().tobytes())
        return {"fingerprint": self.fingerprint, "digest": digest.hexdigest()}
