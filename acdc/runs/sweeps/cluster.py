"""Cells as jobs of a cluster, through submitit: Slurm's, or its local executor, for trials and tests.

Every job is the ordinary command, which goes on where it was. So a job that the cluster stops (a time limit, a more
urgent one) is simply put into the queue again.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acdc.errors import RunError, printable
from acdc.progress import Progress, Tell
from acdc.runs.sweeps.cells import PlannedCell
from acdc.runs.sweeps.commands import Failure, failure_of, full_command

__all__ = ["CLUSTERS", "executor_of", "run_on_cluster"]

CLUSTERS = ("slurm", "local")
POLL = 2.0  # seconds
LOCAL_POLL = 0.2


@dataclass(frozen=True)
class ClusterJob:
    """What a job does: the command, with all that it says in a log."""

    words: tuple[str, ...]
    log: Path

    def __call__(self) -> int:
        """The command's exit code."""
        with open(self.log, "wb") as log:
            return subprocess.run(full_command(self.words), stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode

    def checkpoint(self) -> Any:
        """What is put into the queue where the cluster stops the job: the same, which goes on from there."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def executor_of(cluster: str, parameters: Mapping[str, Any], *, folder: Path, jobs: int) -> Any:
    """submitit's executor for a cluster.

    Args:
        parameters: Of submitit: `timeout_min`, `mem_gb`, `cpus_per_task`, `gpus_per_node`, `slurm_partition`...
        folder: Where submitit keeps its files.
        jobs: How many jobs of a Slurm array run at a time.

    Raises:
        RunError: The package isn't installed, the cluster isn't here, or a parameter isn't one of submitit's.
    """
    try:
        import submitit
    except ImportError:
        raise RunError("--cluster needs the package submitit: pip install 'acdc-engine[slurm]'") from None
    if cluster not in CLUSTERS:
        raise RunError(f"cluster must be one of {', '.join(CLUSTERS)}, not {printable(cluster, 60)!r}")
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**{"slurm_array_parallelism": jobs, "name": "acdc", **parameters})
    except (RuntimeError, NameError, AssertionError, TypeError, ValueError) as error:
        raise RunError(f"submitit can't use cluster {cluster!r} so: {printable(str(error), 400)}") from None
    return executor


def run_on_cluster(executor: Any, cells: Sequence[PlannedCell], *, logs: Path, tell: Tell | None) -> dict[str, Failure]:
    """Submit cells together and wait for them; whatever stops this cancels the jobs.

    Returns:
        Why cells failed, by their names.
    """
    paths = {cell.name: logs / f"{cell.name}.log" for cell in cells}
    with executor.batch():
        submitted = {cell.name: executor.submit(ClusterJob(tuple(cell.words), paths[cell.name])) for cell in cells}
    try:
        while (n_done := sum(job.done() for job in submitted.values())) < len(submitted):
            if tell is not None:
                stage = f"jobs of {executor.cluster}"
                tell(Progress(n_done, len(submitted), stage=stage, unit="cells"))
            time.sleep(LOCAL_POLL if executor.cluster == "local" else POLL)
    except BaseException:
        for job in submitted.values():
            job.cancel()
        raise
    found = {name: _failure(job, paths[name]) for name, job in submitted.items()}
    return {name: failure for name, failure in found.items() if failure is not None}


def _failure(job: Any, log: Path) -> Failure | None:
    """Why a job that is over has failed; what submitit says where the command never came to its end."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        return failure_of(job.result(), log)
    except (FailedJobError, UncompletedJobError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Failure(f"its job {job.job_id} failed: {printable(lines[0] if lines else 'no reason given', 300)}", log)
