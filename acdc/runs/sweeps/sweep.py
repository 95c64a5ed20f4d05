"""The life of a sweep: a grid is checked whole, the cells without a finished run are run, and all results gathered."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from acdc.errors import FileError, printable
from acdc.options.defaults import OUT
from acdc.options.ranges import Range, checked
from acdc.progress import Tell
from acdc.progress.bars import Progressing, shown
from acdc.runs.sweeps.cells import PlannedCell, check_devices, plan, with_runs
from acdc.runs.sweeps.cluster import executor_of, run_on_cluster
from acdc.runs.sweeps.commands import Failure
from acdc.runs.sweeps.figures import draw_faithfulness, draw_time
from acdc.runs.sweeps.forecast import CellForecast, forecast_cells
from acdc.runs.sweeps.grid import Grid, read_grid
from acdc.runs.sweeps.local import run_here
from acdc.runs.sweeps.results import results, write_results

__all__ = ["Sweep", "sweep"]

logger = logging.getLogger(__name__)

Jobs = Annotated[int, Range(1, 1000)]
Trial = Annotated[float, Range(0, 3600)]
FOLDER = "sweeps"  # beside the runs: a folder for each grid's results and logs


@dataclass(frozen=True)
class Sweep:
    """A checked grid and where its results go.

    Attributes:
        cells: With the finished runs that were there when it was opened, or run last.
        failed: Why cells of the last `run` have no run, by their names.
    """

    grid: Grid
    cells: tuple[PlannedCell, ...]
    folder: Path
    failed: Mapping[str, Failure] = field(default_factory=dict)

    @classmethod
    def open(cls, grid: str | Path | Mapping[str, Any], *, out: str | Path = OUT) -> "Sweep":
        """Read and check a whole grid.

        Raises:
            ACDCError: Something in it can't be used.
        """
        read, out = read_grid(grid), Path(out).expanduser()
        return cls(read, tuple(plan(read, out)), out / FOLDER / read.name)

    @property
    def missing(self) -> list[PlannedCell]:
        """The cells without a finished run."""
        return [cell for cell in self.cells if cell.run is None]

    def forecast(self, *, trial: float, tell: Tell | None = None) -> list[CellForecast]:
        """About how long each cell will take: see `forecast_cells`.

        Raises:
            RunError: `trial` is out of range.
        """
        return forecast_cells(self.cells, trial=checked("trial", Trial, trial), tell=tell)

    def run(self, *, jobs: int = 1, cluster: str | None = None, tell: Tell | None = None) -> "Sweep":
        """Run what is missing.

        Raises:
            ACDCError: `jobs` is out of range, the cluster can't be used, a device isn't here, or the folder can't be
                written.
        """
        jobs, logs = checked("jobs", Jobs, jobs), self._made("logs")
        if cluster is not None:
            executor = executor_of(cluster, self.grid.cluster, folder=self.folder / "submitit", jobs=jobs)
            failed = run_on_cluster(executor, self.missing, logs=logs, tell=tell) if self.missing else {}
        else:
            check_devices(self.missing)
            failed = run_here(self.missing, jobs=jobs, logs=logs, tell=tell)
        return Sweep(self.grid, tuple(with_runs(self.cells)), self.folder, failed)

    def frame(self) -> pd.DataFrame:
        """A row for each cell: see `acdc.runs.sweeps.results.results`."""
        return results(self.cells, self.failed)

    def save(self) -> list[Path]:
        """Write the table, and the pictures if any cell has a run.

        Raises:
            FileError: They can't be written.
        """
        frame, folder = self.frame(), self._made()
        files = [write_results(frame, folder)]
        if (frame["state"] == "finished").any():
            files += [draw_faithfulness(frame, folder / "faithfulness.svg"), draw_time(frame, folder / "time.svg")]
        return files

    def _made(self, *below: str) -> Path:
        folder = self.folder.joinpath(*below)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"can't make the folder {folder}: {error.strerror or error}") from None
        return folder


def sweep(
    grid: str | Path | Mapping[str, Any],
    *,
    out: str | Path = OUT,
    jobs: int = 1,
    cluster: str | None = None,
    run: bool = True,
    progress: Progressing = None,
) -> pd.DataFrame:
    """Run all cells of a grid that have no finished run yet, each as a process of `acdc discover`.

    Args:
        grid: A TOML file, or a dictionary of the same form: see `acdc.runs.sweeps.grid`.
        out: Where runs are kept, as of `discover`; results and logs go to `<out>/sweeps/<name of the grid>/`.
        jobs: How many runs at a time; on one machine the threads are divided among them.
        cluster: `slurm`, or `local` for submitit's trial of one; None runs here.
        run: False gathers the results of the runs that are there.
        progress: True shows a bar; a function is called with each `Progress`.

    Returns:
        A row for each cell: its arguments, `state` (finished, failed, missing), what its circuit does, what the search
        took, the run's `path`, and `error`. The same is written as `sweep.csv`, with two pictures.

    Raises:
        ACDCError: Something in the grid can't be used; it is checked whole before any run starts.

    >>> import acdc
    >>> acdc.sweep({"grid": {"task": ["ioi"], "method": ["eap", "ifr"]}}, jobs=2)  # doctest: +SKIP
    """
    opened = Sweep.open(grid, out=out)
    if run:
        with shown(progress) as tell:
            opened = opened.run(jobs=jobs, cluster=cluster, tell=tell)
        for name, failure in opened.failed.items():
            logger.warning("%s failed: %s (%s)", name, printable(failure.message), failure.log)
    opened.save()
    return opened.frame()
