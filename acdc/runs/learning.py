"""What an ablation learns before it can be used: learned once, kept with a run, read by evaluations."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from acdc.discovery import Checkpoint
from acdc.discovery.checkpoint import remembered
from acdc.files import write_atomically
from acdc.options.defaults import ABLATION
from acdc.patching.ablation import everywhere, of_each
from acdc.patching.ablations import ablate
from acdc.patching.ablations.constants import from_vector, to_vector
from acdc.patching.activations import NodeOutputs
from acdc.patching.problem import Problem
from acdc.progress import Tell, announce
from acdc.runs.preparation import Prepared
from acdc.runs.reload import ReloadedRun

__all__ = ["CONSTANTS", "learned_again", "unlearned", "with_learned", "write_constants"]

logger = logging.getLogger(__name__)

CONSTANTS = "ablation.safetensors"
STAGE = "learning what removed edges carry"


def with_learned(prepared: Prepared, checkpoint: Checkpoint | None, tell: Tell | None) -> Prepared:
    """The same run with what its ablation learns on its prompts; a stopped training goes on from the checkpoint."""
    arguments, problem = prepared.arguments, prepared.problem
    if not arguments.must_learn:
        return prepared
    announce(tell, STAGE)
    like = _like(problem)
    n = len(to_vector(like))
    vector = remembered(
        checkpoint,
        lambda values: len(values) == n and bool(np.isfinite(values).all()),
        lambda: problem.ranks.by_first(
            lambda: to_vector(_learn(problem, arguments.ablation, checkpoint, tell)).tolist()
        ),
    )
    learned = from_vector(torch.tensor(vector, dtype=torch.float64), like)
    prepared.clock.lap("learning")
    return replace(
        prepared,
        arguments=replace(arguments, learned=learned),
        problem=replace(problem, ablated=everywhere(learned, problem.batch, learned=True)),
    )


def learned_again(reloaded: ReloadedRun, place: Path | None, tell: Tell | None) -> ReloadedRun:
    """A saved run with what its ablation learned: read from its folder or `place`, or learned anew and kept there."""
    if not reloaded.arguments.must_learn:
        return reloaded
    problem, _ = unlearned(reloaded).discovery_problem()
    vouch = _vouch(problem, str(reloaded.identity["weights_sha256"]))
    folders = [folder for folder in (reloaded.beside and reloaded.beside.parent, place) if folder is not None]
    like = _like(problem)

    def known() -> Tensor:
        learned = _read([folder / CONSTANTS for folder in folders], vouch, like)
        if learned is None:
            announce(tell, STAGE)
            learned = _learn(problem, reloaded.arguments.ablation, None, tell)
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
                _write(place / CONSTANTS, learned, vouch)
        return to_vector(learned)

    learned = from_vector(problem.ranks.by_first(known), like)
    return replace(reloaded, arguments=replace(reloaded.arguments, learned=learned))


def unlearned(reloaded: ReloadedRun) -> ReloadedRun:
    """The same with the default ablation in place of one that has still to be learned."""
    arguments = reloaded.arguments
    return replace(reloaded, arguments=replace(arguments, ablation=ABLATION)) if arguments.must_learn else reloaded


def write_constants(folder: Path, problem: Problem, weights_sha256: str) -> list[Path]:
    """Write what the ablation has learned, if it learns.

    Raises:
        FileError: The file can't be written.
    """
    learned = problem.ablated.learned
    return [] if learned is None else [_write(folder / CONSTANTS, learned, _vouch(problem, weights_sha256))]


def _learn(problem: Problem, kind: str, checkpoint: Checkpoint | None, tell: Tell | None) -> NodeOutputs:
    outputs, seed = problem.clean.outputs, problem.seed
    made = ablate(
        kind, problem.model, problem.batch, outputs, seed=seed, memory=problem.memory, keeper=checkpoint, progress=tell
    )
    assert made.learned is not None, "an ablation that learns gives what it has learned"
    return made.learned


def _like(problem: Problem) -> NodeOutputs:
    """Constants of the right shapes."""
    return of_each(lambda x: x[..., 0, 0, :], problem.clean.outputs)


def _vouch(problem: Problem, weights_sha256: str) -> dict[str, str]:
    """What the constants were learned from."""
    return {"prompts_sha256": problem.batch.fingerprint, "weights_sha256": weights_sha256, "seed": str(problem.seed)}


def _write(path: Path, learned: NodeOutputs, vouch: dict[str, str]) -> Path:
    return write_atomically(path, save({"constants": to_vector(learned).cpu()}, vouch))


def _read(paths: Sequence[Path], vouch: dict[str, str], like: NodeOutputs) -> NodeOutputs | None:
    """The constants of the first file that holds those that were learned from the same; None if there is none."""
    for path in paths:
        if path.is_file() and (vector := _vector(path, vouch)) is not None:
            return from_vector(vector, like)
    return None


def _vector(path: Path, vouch: dict[str, str]) -> Tensor | None:
    try:
        with safe_open(path, "pt") as file:
            told, vector = file.metadata(), file.get_tensor("constants")
    except (SafetensorError, OSError) as error:
        logger.warning("%s is damaged (%s); constants are learned again", path, error)
        return None
    return vector if told == vouch else None
