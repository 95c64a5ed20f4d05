"""The folder of one evaluation: a report that several processes may add to, and what unfinished parts have measured."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from acdc.errors import ACDCError, FileError
from acdc.evaluation.parts import PARTS
from acdc.evaluation.report import load_report
from acdc.files import write_json
from acdc.runs.checkpoint import FileCheckpoint
from acdc.runs.evaluation_report import WRITTEN, Evaluation, write_evaluation

__all__ = ["REPORT", "EvaluationFolder", "Parts"]

logger = logging.getLogger(__name__)

REPORT, LOCK, UNFINISHED = "evaluation.json", ".evaluation.lock", "unfinished"
DAMAGED, EARLIER = "evaluation.damaged.json", "earlier"
WAIT = 120  # seconds for which another process may write the report and its figures
Parts = dict[str, dict[str, Any]]  # by name, as the report holds them


class EvaluationFolder:
    """Where an evaluation is kept.

    Two evaluations of one circuit, prompts and settings at once add their parts to one report: it is read again and
    written under a lock of the operating system, which ends with the process that holds it. One of other prompts or
    settings is moved to a folder of its own, `earlier/<fingerprint>`, and found there when it is asked for again.

    Args:
        path: The folder; made if it isn't there.
        fingerprint: Names circuit, prompts, settings and versions: other evaluations' parts aren't taken over.
        resume: Whether parts, finished or not, that lie there already are taken over.
    """

    def __init__(self, path: Path, fingerprint: str, *, resume: bool = True) -> None:
        self.path, self.fingerprint, self.resume = path, fingerprint, resume
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"can't make the folder {path}: {error.strerror or error}") from None
        self._ignored: Parts = {}
        if not resume:
            with self._locked():
                self._ignored = self._parts()

    def parts(self) -> Parts:
        """The parts of this evaluation that are finished, by whatever process."""
        with self._locked():
            return self._parts()

    def keep(self, report: Mapping[str, Any]) -> Parts:
        """Write the report together with the parts that are there already; these and its own."""
        with self._locked():
            parts = self._merged(report["parts"])
            self._set_aside()
            write_json(self.path / REPORT, {**report, "parts": parts})
        return parts

    def finish(self, evaluation: Evaluation) -> Evaluation:
        """Write report, tables and figures; the evaluation with where they are."""
        with self._locked():
            report = {**evaluation.report, "parts": self._merged(evaluation.report["parts"])}
            self._set_aside()
            write_json(self.path / REPORT, report)
            written = write_evaluation(Evaluation(evaluation.circuit, report), self.path)
        return Evaluation(written.circuit, written.report, self.path, (self.path / REPORT, *written.files))

    @contextmanager
    def checkpoint(self, name: str, fingerprint: str | None = None) -> Iterator[FileCheckpoint | None]:
        """A checkpoint of what is measured in the block; it stays where the block is interrupted, so that the next one
        of this name and fingerprint continues there. None where another process holds it, or it can't be written."""
        fingerprint = fingerprint or self.fingerprint
        path = self.path / UNFINISHED / f"{name}-{fingerprint[:12]}.jsonl"
        try:
            path.parent.mkdir(exist_ok=True)
            if not self.resume:
                path.unlink(missing_ok=True)
            checkpoint = FileCheckpoint(path, fingerprint)
        except (ACDCError, OSError) as error:
            logger.info("what %s measures is not kept for another time: %s", name, error)
            yield None
            return
        with checkpoint:
            try:
                yield checkpoint
            except FileError:  # it may well be read or written another time
                raise
            except ACDCError:  # it would fail again in the same place
                checkpoint.discard()
                raise
            checkpoint.discard()
        with suppress(OSError):
            path.parent.rmdir()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=WAIT)
        except Timeout:
            raise FileError(f"another process has been writing in {self.path} for {WAIT} s; try again later") from None
        except OSError as error:
            raise FileError(f"can't lock {self.path / LOCK}: {error.strerror or error}") from None
        try:
            yield
        finally:
            lock.release()

    def _parts(self) -> Parts:
        found: Parts = {}
        for folder in (self._earlier(self.fingerprint), self.path):
            report = _report(folder)
            if report is not None and report["fingerprint"] == self.fingerprint:
                found |= report["parts"]
        return {name: part for name, part in found.items() if self._ignored.get(name) != part}

    def _earlier(self, fingerprint: str) -> Path:
        return self.path / EARLIER / fingerprint[:12]

    def _set_aside(self) -> None:
        """Move the report, tables and figures of another evaluation out of this one's way; the report last, so that
        a move that was cut short is made to its end another time."""
        other = _report(self.path)
        if other is None or other["fingerprint"] == self.fingerprint:
            return
        place = self._earlier(other["fingerprint"])
        try:
            place.mkdir(parents=True, exist_ok=True)
            for name in (*WRITTEN, REPORT):
                if (self.path / name).exists():
                    os.replace(self.path / name, place / name)
        except OSError as error:
            raise FileError(f"can't move an earlier evaluation to {place}: {error.strerror or error}") from None
        logger.warning("an evaluation on other prompts or settings lay there; it is kept in %s", place)

    def _merged(self, parts: Parts) -> Parts:
        """What is there and these parts; of one that both have, the one here, unless it alone was left out."""
        there = self._parts()
        mine = {name: part for name, part in parts.items() if "left_out" not in part or name not in there}
        both = {**there, **mine}
        return {name: both[name] for name in PARTS if name in both}


def _report(folder: Path) -> dict[str, Any] | None:
    """The report that lies in a folder; a damaged one is put aside."""
    path = folder / REPORT
    if not path.exists():
        return None
    try:
        return load_report(path)
    except FileError as error:
        logger.warning("%s; it is kept as %s, and all is measured anew", error, DAMAGED)
        with suppress(OSError):
            os.replace(path, folder / DAMAGED)
        return None
