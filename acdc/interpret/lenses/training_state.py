"""A training that was stopped goes on where it was: its maps and momenta, kept in the lens's folder."""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from acdc.circuits.formats.torch_files import load_plain, save_plain
from acdc.errors import CircuitError
from acdc.files import read_bytes
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch

__all__ = ["TrainingState"]

logger = logging.getLogger(__name__)

NAME, EVERY = "training.pt", 60.0  # seconds between two times that it is written
MAX_BYTES = 2**36


@dataclass
class TrainingState:
    """Where a training is kept; nowhere without a path.

    Attributes:
        fingerprint: Of the arguments: of another training nothing is taken.
    """

    path: Path | None
    fingerprint: str
    written: float = field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls, folder: Path | None, model: PatchableModel, texts: PromptBatch, steps: int, tokens: int, seed: int
    ) -> "TrainingState":
        """The state of a training with these arguments."""
        told = (model.name, model.revision, str(model.dtype), texts.fingerprint, steps, tokens, seed)
        return cls(None if folder is None else folder / NAME, hashlib.sha256(repr(told).encode()).hexdigest())

    def restore(self, parameters: Sequence[Tensor], optimizer: torch.optim.SGD) -> int:
        """Put what was kept into the parameters and the optimizer, and return how many steps are done."""
        if self.path is None or not self.path.exists():
            return 0
        try:
            kept = load_plain(read_bytes(self.path, max_bytes=MAX_BYTES), max_bytes=MAX_BYTES)
            if kept["fingerprint"] != self.fingerprint:
                logger.warning("%s is another training's; this one begins anew", self.path)
                return 0
            values, momenta = kept["parameters"], kept["momenta"]
            for parameter, value, momentum in zip(parameters, values, momenta, strict=True):
                parameter.data.copy_(value)
                optimizer.state[parameter]["momentum_buffer"] = momentum.to(parameter)
            return int(kept["step"])
        except (CircuitError, KeyError, TypeError, ValueError, RuntimeError) as error:
            logger.warning("%s is damaged (%s); the training begins anew", self.path, error)
            return 0

    def keep(self, step: int, parameters: Sequence[Tensor], optimizer: torch.optim.SGD) -> None:
        """Write it, now and then."""
        if self.path is None or time.monotonic() - self.written < EVERY:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        momenta = [optimizer.state[parameter]["momentum_buffer"] for parameter in parameters]
        values = [parameter.detach() for parameter in parameters]
        save_plain({"fingerprint": self.fingerprint, "step": step, "parameters": values, "momenta": momenta}, self.path)
        self.written = time.monotonic()

    def remove(self) -> None:
        """Forget it: the lens is there."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
