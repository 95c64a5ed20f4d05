"""Removal of edges in blocks: of each destination's edges, the weakest at once.

    for each destination, from the logits to the input:
        for blocks of its edges, those of the smallest score first:
            remove a block if the loss rises by less than tau, else try a smaller one

Scores only say which edges go together; whether a block can be removed is measured, in the circuit that all earlier
removals left. Several sizes are measured at once, and the largest that can be removed is. The sizes that are tried next
follow from it, so a destination's long tail takes a question or two, and the edges around tau are tried by ones and
twos.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from acdc.patching.exact.speculation import Losses
from acdc.patching.exact.state import CircuitState
from acdc.progress import Progress

__all__ = ["Blocks"]

Sizes = set[int]
FIRST = (1, 2, 4, 16, 64)  # parts of a destination's edges that are tried first: all, a half...


@dataclass
class Blocks:
    """Removal of many edges at a time.

    Args:
        state: The circuit, from which they are removed.
        removes: Whether a block is removed at this rise of the loss.
        losses: Measures the loss without the edges of each copy, like `state.losses`.
        progress: Told of how many edges are decided.

    Attributes:
        tried: How many blocks were measured.
        removed: How many of them were removed.
    """

    state: CircuitState
    removes: Callable[[float], bool]
    losses: Losses
    progress: Callable[[Progress], None] | None = None
    tried: int = field(default=0, init=False)
    removed: int = field(default=0, init=False)

    def remove(self, weakest_first: Mapping[int, Sequence[int]]) -> None:
        """Remove what can be removed in blocks.

        Args:
            weakest_first: Each destination's sources by the size of their scores, destinations in the order in which
                they are gone through.
        """
        done, total = 0, sum(map(len, weakest_first.values()))
        for dst, sources in weakest_first.items():
            self._tell(done, total)
            if self.state.is_useful(dst):
                self._go_through(dst, sources)
            else:
                self.state.remove([(src, dst) for src in sources])
            done += len(sources)

    def _go_through(self, dst: int, sources: Sequence[int]) -> None:
        """Try blocks of one destination's edges until each edge is removed or was tried alone."""
        sizes = {len(sources) // part for part in FIRST}
        while sources:
            tried = self._that_fit(dst, sizes, len(sources))
            size = self._largest(dst, sources, tried)
            if size:
                sources, sizes = sources[size:], {4 * size, 2 * size, size, size // 2}
            elif tried[-1] == 1:  # the weakest is needed, as things are
                sources, sizes = sources[1:], {1, 2, 4}
            else:
                sizes = {tried[-1] // 2, tried[-1] // 4, tried[-1] // 16, 1}

    def _that_fit(self, dst: int, sizes: Sizes, n: int) -> list[int]:
        """Sizes of blocks of `n` edges, the largest first, as many as can be measured at once."""
        room = max(1, self.state.memory // self.state.cost([dst]).memory)
        return sorted({min(size, n) for size in sizes if size}, reverse=True)[:room]

    def _largest(self, dst: int, sources: Sequence[int], sizes: Sequence[int]) -> int:
        """Remove the largest of these blocks that can be; its size, 0 if there is none."""
        edges = [(src, dst) for src in sources[: sizes[0]]]
        losses = self.losses(edges, np.arange(len(edges)) < np.array(sizes)[:, None])
        self.tried += len(sizes)
        for size, loss in zip(sizes, losses, strict=True):
            if self.removes(loss - self.state.loss):
                self.state.remove(edges[:size], loss)
                self.removed += 1
                return size
        return 0

    def _tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(Progress(done, total, self.state.n_edges, "blocks of edges", self.tried, "edges"))
