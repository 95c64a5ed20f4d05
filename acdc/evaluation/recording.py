"""What a part of an evaluation has measured: kept in a checkpoint, so that a stopped one continues where it was, and in
memory, so that parts that ask about the same circuit run it once.

A part asks its questions in an order that its settings decide, so a second time the recorded answers are those to its
first questions. Each is kept with a checksum of its question; from the first that doesn't fit, all is measured anew and
nothing is recorded.
"""

import logging
import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol, runtime_checkable

from jaxtyping import Bool
from torch import Tensor

from acdc.errors import ACDCError

__all__ = ["AFRESH", "Checkpoint", "Recorder", "SharedRuns", "mask_bytes"]

logger = logging.getLogger(__name__)


@runtime_checkable
class Checkpoint(Protocol):
    """Where answers are kept: see `acdc.runs.checkpoint.FileCheckpoint`."""

    def next(self) -> list[float] | None:
        """The next recorded values; None when all have been read."""
        ...

    def append(self, values: list[float]) -> None:
        """Record values."""
        ...


class SharedRuns:
    """What circuits gave on some problems, for all parts of an evaluation: the whole model, the empty circuit and the
    circuit itself are asked about by most of them.

    Args:
        problems: Those whose answers are kept. They live as long as this does, so none is taken for another.
    """

    def __init__(self, *problems: object) -> None:
        self._problems = problems
        self._known: dict[tuple[int, bytes], list[float]] = {}

    def take(self, problem: object, question: bytes, measure: Callable[[], list[float]]) -> list[float]:
        """The answer to a question about one problem: measured the first time, and each time for other problems."""
        for i, own in enumerate(self._problems):
            if own is problem:
                key = (i, sha256(question).digest())
                if key not in self._known:
                    self._known[key] = measure()
                return self._known[key]
        return measure()


class Recorder:
    """Answers questions from the checkpoint as long as it lasts, then by measuring, and records what is measured.

    Args:
        checkpoint: None records nothing.
        shared: Where what is measured may be known from another part, which is recorded all the same.
    """

    def __init__(self, checkpoint: Checkpoint | None = None, shared: SharedRuns | None = None) -> None:
        self._checkpoint, self._shared = checkpoint, SharedRuns() if shared is None else shared

    def about(self, problem: object, question: bytes, measure: Callable[[], list[float]]) -> list[float]:
        """`take`, where the answer is the same for all parts that ask this of this problem."""
        return self.take(question, lambda: self._shared.take(problem, question, measure))

    def take(self, question: bytes, measure: Callable[[], list[float]]) -> list[float]:
        """The answer to a question, exact to the last bit.

        Args:
            question: All that tells it from other questions.
            measure: Called where the answer isn't recorded.
        """
        if self._checkpoint is None:
            return measure()
        mark = float(zlib.crc32(question))
        known = self._checkpoint.next()
        if known is not None and known and known[0] == mark:
            return known[1:]
        found = measure()
        if known is not None:
            self._checkpoint = None
            return found
        try:
            self._checkpoint.append([mark, *found])
        except ACDCError as error:  # what was measured isn't lost for a full disk; it just isn't kept for another time
            logger.warning("%s; what is measured from here on is not kept for another time", error)
            self._checkpoint = None
        return found


AFRESH = Recorder()


def mask_bytes(mask: Bool[Tensor, "src dst"]) -> bytes:
    """A mask as bytes: equal for equal masks of one graph."""
    return mask.cpu().numpy().tobytes()
