"""From a run's arguments to a problem that can be searched: the model, the prompts, and what identifies the run."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from acdc.options.defaults import ABLATION
from acdc.patching.problem import Problem
from acdc.progress import Tell, announce
from acdc.runs.arguments import Arguments
from acdc.runs.fingerprint import model_identity, run_fingerprint, versions
from acdc.runs.parity import check_parity

__all__ = ["Clock", "Prepared", "prepare"]

logger = logging.getLogger(__name__)


class Clock:
    """When a run started, and how long its parts took, in seconds."""

    def __init__(self) -> None:
        self.started, self._start, self._seconds = datetime.now(UTC), time.monotonic(), dict[str, float]()

    def lap(self, name: str) -> None:
        """Note the time since the last lap under this name."""
        self._seconds[name] = round(time.monotonic() - self._start - sum(self._seconds.values()), 3)

    def read(self) -> dict[str, float]:
        """Seconds of each part, and of all: `total`."""
        return self._seconds | {"total": round(time.monotonic() - self._start, 3)}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run that can be searched.

    Attributes:
        identity: What decides the result, as `run.json` says it: `arguments`, `model` (with its hashes),
            `prompts_sha256`, `versions`.
        parity: How far our logits are from Hugging Face's: see `check_parity`.
    """

    arguments: Arguments
    problem: Problem
    identity: Mapping[str, Any]
    parity: Mapping[str, float]
    clock: Clock

    @cached_property
    def fingerprint(self) -> str:
        """Names the run: see `run_fingerprint`."""
        return run_fingerprint(self.identity)


def prepare(arguments: Arguments, clock: Clock, tell: Tell | None) -> Prepared:
    """Load the model, make the prompts, and check that the model is computed as Hugging Face computes it.

    Raises:
        ACDCError: The model can't be loaded or used, or the task's prompts don't fit it.
    """
    announce(tell, f"loading {arguments.model.name}")
    model = arguments.model.load()
    announce(tell, "making prompts")
    now = replace(arguments, ablation=ABLATION) if arguments.must_learn else arguments  # learned once it can be kept
    problem = now.problem(model, tell=tell)
    for note in problem.batch.notes:
        logger.warning("%s", note)
    identity = {
        "arguments": arguments.as_used(problem).to_json(),
        "model": model_identity(model),
        "prompts_sha256": problem.batch.fingerprint,
        "versions": versions(),
    }
    arguments = replace(arguments, spans=problem.graph.spans)
    prepared = Prepared(arguments, problem, identity, check_parity(problem), clock)
    clock.lap("loading")
    return prepared
