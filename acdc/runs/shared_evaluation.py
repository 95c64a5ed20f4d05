"""The folder of an evaluation that several processes share: the first reads and writes it, all know what it holds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acdc.ranks import Ranks
from acdc.runs.checkpoint import FileCheckpoint
from acdc.runs.evaluation_folder import EvaluationFolder, Parts
from acdc.runs.evaluation_report import Evaluation
from acdc.runs.mirror import MirroredCheckpoint, mirrored

__all__ = ["SharedFolder"]


class SharedFolder:
    """An `EvaluationFolder` of several processes; all ask it for the same.

    Args:
        path, fingerprint, resume: See `EvaluationFolder`.
    """

    def __init__(self, ranks: Ranks, path: Path, fingerprint: str, *, resume: bool) -> None:
        self.ranks, self.path = ranks, path
        self._own = EvaluationFolder(path, fingerprint, resume=resume) if ranks.is_first else None

    def parts(self) -> Parts:
        """The parts of this evaluation that are finished, by whatever process."""
        return self.ranks.by_first(lambda: self._first.parts())

    def keep(self, report: Mapping[str, Any]) -> Parts:
        """Write the report together with the parts that are there already; these and its own."""
        return self.ranks.by_first(lambda: self._first.keep(report))

    def finish(self, evaluation: Evaluation) -> Evaluation:
        """Write report, tables and figures; the evaluation with where they are."""
        return self.ranks.by_first(lambda: self._first.finish(evaluation))

    @contextmanager
    def checkpoint(
        self, name: str, fingerprint: str | None = None
    ) -> Iterator[FileCheckpoint | MirroredCheckpoint | None]:
        """A checkpoint of what is measured in the block: see `EvaluationFolder.checkpoint`."""
        if self._own is None:
            yield mirrored(self.ranks, None)
            return
        with self._own.checkpoint(name, fingerprint) as own:
            yield mirrored(self.ranks, own)

    @property
    def _first(self) -> EvaluationFolder:
        assert self._own is not None, "the first process alone reads and writes"
        return self._own
