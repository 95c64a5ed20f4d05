"""The folder of one evaluation: a report that several processes may add to, and what unfinished parts have measured."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from acdc.errors import ACDCError, FileError
from acdc.evaluation.report import PART_SCHEMAS, load_report
from acdc.files import write_json
from acdc.findings import Evaluation, write_evaluation
from acdc.journal import FileJournal

__all__ = ["REPORT", "EvaluationFolder"]

logger = logging.getLogger(__name__)

REPORT, LOCK, UNFINISHED = "evaluation.json", ".evaluation.lock", "unfinished"
DAMAGED = "evaluation.damaged.json"
WAIT = 120  # seconds for which another process may write the report and its figures
Parts = dict[str, dict[str, Any]]


class EvaluationFolder:
    """Where an evaluation is kept.

    Two evaluations of one circuit, prompts and settings at once add their parts to one report: it is read again and
    written under a lock of the operating system, which goes with the process that holds it.

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
            write_json(self.path / REPORT, {**report, "parts": parts})
        return parts

    def finish(self, evaluation: Evaluation) -> Evaluation:
        """Write report, tables and figures; the evaluation with where they are."""
        with self._locked():
            report = {**evaluation.report, "parts": self._merged(evaluation.report["parts"])}
            write_json(self.path / REPORT, report)
            written = write_evaluation(Evaluation(evaluation.circuit, report), self.path)
        return Evaluation(written.circuit, written.report, self.path, (self.path / REPORT, *written.files))

    @contextmanager
    def journal(self, name: str, fingerprint: str | None = None) -> Iterator[FileJournal | None]:
        """A journal of what is measured in the block; it stays where the block is interrupted, so that the next one
        of this name and fingerprint goes on there. None where another process holds it, or it can't be written."""
        fingerprint = fingerprint or self.fingerprint
        path = self.path / UNFINISHED / f"{name}-{fingerprint[:12]}.jsonl"
        try:
            path.parent.mkdir(exist_ok=True)
            if not self.resume:
                path.unlink(missing_ok=True)
            journal = FileJournal(path, fingerprint)
        except (ACDCError, OSError) as error:
            logger.info("what %s measures is not kept for another time: %s", name, error)
            yield None
            return
        with journal:
            try:
                yield journal
            except FileError:  # it may well be read or written another time
                raise
            except ACDCError:  # it would fail again in the same place
                journal.discard()
                raise
            journal.discard()
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
        path = self.path / REPORT
        if not path.exists():
            return {}
        try:
            report = load_report(path)
        except FileError as error:
            logger.warning("%s; it is kept as %s, and all is measured anew", error, DAMAGED)
            with suppress(OSError):
                os.replace(path, self.path / DAMAGED)
            return {}
        if report["fingerprint"] != self.fingerprint:
            return {}
        return {name: part for name, part in report["parts"].items() if self._ignored.get(name) != part}

    def _merged(self, parts: Parts) -> Parts:
        """What is there and these parts; of one that both have, the one here, unless it alone was left out."""
        there = self._parts()
        mine = {name: part for name, part in parts.items() if "left_out" not in part or name not in there}
        both = {**there, **mine}
        return {name: both[name] for name in PART_SCHEMAS if name in both}
