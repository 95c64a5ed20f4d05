"""Cells on this machine: several processes of the ordinary command at a time."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from acdc.errors import FileError
from acdc.progress import Progress, Tell
from acdc.runs.sweeps.cells import PlannedCell
from acdc.runs.sweeps.commands import Failure, environment, failure_of, full_command

__all__ = ["run_here"]

POLL = 0.1  # seconds
GRACE = 20.0  # seconds for a stopped process to keep what it has


def run_here(cells: Sequence[PlannedCell], *, jobs: int, logs: Path, tell: Tell | None) -> dict[str, Failure]:
    """Run cells, `jobs` at a time, each with its share of the threads; one that fails doesn't stop the others.

    Whatever stops this stops the processes too, in the way that lets them go on later.

    Args:
        logs: The folder for what each process says, in a file of the cell's name.

    Returns:
        Why cells failed, by their names.
    """
    processes = _Processes(environment(os.environ, max(1, torch.get_num_threads() // jobs)), logs)
    waiting, failed, total = list(reversed(cells)), dict[str, Failure](), len(cells)
    try:
        while waiting or processes.running:
            while waiting and len(processes.running) < jobs:
                processes.start(waiting.pop())
            failed |= processes.ended()
            if tell is not None:
                done = total - len(waiting) - len(processes.running)
                stage = f"{len(processes.running)} running" + (f", {len(failed)} failed" if failed else "")
                tell(Progress(done, total, stage=stage, unit="cells"))
            time.sleep(POLL)
    finally:
        processes.stop()
    return failed


class _Processes:
    """The processes that run."""

    def __init__(self, env: dict[str, str], logs: Path) -> None:
        self.env, self.logs = env, logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, cell: PlannedCell) -> None:
        """Start a cell's command.

        Raises:
            FileError: Its log can't be written.
        """
        try:
            with open(self._log(cell.name), "wb") as log:
                self.running[cell.name] = subprocess.Popen(
                    full_command(cell.words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env
                )
        except OSError as error:
            raise FileError(f"can't run {cell.command}: {error.strerror or error}") from None

    def ended(self) -> dict[str, Failure]:
        """Take away those that have ended; why some of them failed."""
        codes = {name: code for name, each in self.running.items() if (code := each.poll()) is not None}
        self.running = {name: each for name, each in self.running.items() if name not in codes}
        found = {name: failure_of(code, self._log(name)) for name, code in codes.items()}
        return {name: failure for name, failure in found.items() if failure is not None}

    def stop(self) -> None:
        """Ask all to end, and wait until they have kept what they measured; end those that don't."""
        for each in self.running.values():
            each.terminate()
        end = time.monotonic() + GRACE
        try:
            for each in self.running.values():
                each.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:  # a second Ctrl-C doesn't wait
            for each in self.running.values():
                each.kill()

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"
