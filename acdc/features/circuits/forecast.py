"""About how long a search will take, said once its first step is made.

Multiplications of each stage are counted (a block's are 12 d_model² a token, a backward pass takes two forward ones),
and what the first step took tells how fast they are.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from acdc.discovery.selection.by_faithfulness import MOST_PASSES
from acdc.features.circuits.runs import FeatureRuns, Piece
from acdc.features.circuits.steps import Step
from acdc.progress import Progress, Tell, roughly

__all__ = ["Forecast"]

LEAST = 10.0  # seconds of a search that is told how long it takes
SLOWER = 3  # times: features are chosen, masked and written beside being multiplied


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecasts a search.

    Attributes:
        steps: Gradients of each site.
        n_joined: Between how many nodes edges are measured, at most.
        measures: Whether circuits are measured to choose nodes.
    """

    runs: FeatureRuns
    steps: int
    n_joined: int
    measures: bool

    def told(self, step: Step, stage: str, tell: Tell | None) -> Step:
        """The step of the effects of site after site; behind the first that is made the forecast is told."""
        work, timed = list(self._effects()), False
        done = 0

        def stepped(name: str, make: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
            nonlocal done
            done += 1
            return step(name, make if timed or tell is None else lambda: first(make))

        def first(make: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
            nonlocal timed
            timed, start = True, time.monotonic()
            found = make()
            pace = (time.monotonic() - start) / work[done - 1]
            text = self._words(pace * sum(work[done - 1 :]), pace)
            if text and tell is not None:
                tell(Progress(done, len(work), stage=stage, unit="sites", note=text))
            return found

        return stepped

    def _words(self, gradients: float, pace: float) -> str:
        circuits, edges = pace * self._circuits() * self.measures, pace * self._edges()
        parts = {"gradients": gradients, f"at most {MOST_PASSES} circuits": circuits, "edges": edges}
        told = ", ".join(f"{name} {roughly(seconds)}" for name, seconds in parts.items() if seconds)
        total = sum(parts.values())
        return f"the search takes about {roughly(total)}: {told}" if total >= LEAST else ""

    def _effects(self) -> Iterator[float]:
        """Of each site of each piece."""
        n_layers = self.runs.problem.model.graph.n_layers
        for piece in self.runs.pieces:
            for i, site in enumerate(self.runs.placed.sites):
                own = 3 * self.steps * (n_layers - site.layer) * self._block(piece)
                yield own if i else own + 2 * self._forward(piece)

    def _circuits(self) -> float:
        return MOST_PASSES * sum(map(self._forward, self.runs.pieces))

    def _edges(self) -> float:
        """Those into a node go back through half of the blocks, about."""
        if len(self.runs.placed.sites) == 1 or not self.n_joined:
            return 0.0
        passes = 3 * self.steps + self.n_joined
        return passes * sum(map(self._forward, self.runs.pieces))

    def _forward(self, piece: Piece) -> float:
        """Of a run through all sites, with what dictionaries encode and decode."""
        read = self.runs.placed.dictionaries
        blocks = self.runs.problem.model.graph.n_layers - min(each.reads.layer for each in read)
        coding = sum(each.n_features * (each.d_in + 3 * each.d_out) for each in read) * piece.batch.clean.numel()
        return blocks * self._block(piece) + SLOWER * coding

    def _block(self, piece: Piece) -> float:
        return 12.0 * self.runs.problem.model.graph.d_model**2 * piece.batch.clean.numel()
