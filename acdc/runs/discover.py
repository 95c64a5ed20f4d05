"""The life of a run: arguments are resolved, the model is loaded, a circuit is searched, measured and written."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from acdc.discovery import Checkpoint, DiscoveryResult
from acdc.errors import ACDCError, FileError
from acdc.metrics import Metric
from acdc.options.defaults import ABLATION, DEVICE, DIRECTION, DTYPE, METHOD, N_PROMPTS, OUT, POSITIONS, SEED
from acdc.progress import Tell, announce
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import PromptPair
from acdc.ranks import ALONE, Ranks
from acdc.runs.arguments import resolve_arguments
from acdc.runs.conclusion import conclude
from acdc.runs.folders import RECORD, Workspace, check_writable, discard, runs_folder, shared_workspace
from acdc.runs.learning import with_learned
from acdc.runs.preparation import Clock, Prepared, prepare
from acdc.runs.result import RunResult, load_run
from acdc.runs.search_forecast import warning_of_hours
from acdc.runs.search_result import result_from_json, result_to_json
from acdc.runs.writing import write_run
from acdc.task import Task

__all__ = ["RunResult", "discover", "load_run"]

logger = logging.getLogger(__name__)


def discover(
    model: Any,
    task: str | Task | type[Task] | Sequence[PromptPair],
    *,
    method: str = METHOD,
    metric: str | Metric | None = None,
    ablation: str = ABLATION,
    direction: str = DIRECTION,
    positions: str = POSITIONS,
    n: int = N_PROMPTS,
    seed: int = SEED,
    out: str | Path | None = OUT,
    resume: bool = True,
    dtype: str | torch.dtype = DTYPE,
    device: str = DEVICE,
    device_map: str | Mapping[str, Any] | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    tokenizer: Any = None,
    bos: bool | None = None,
    memory: int | str | None = None,
    task_options: Mapping[str, Any] | None = None,
    progress: Progressing = None,
    ranks: Ranks = ALONE,
    **options: Any,
) -> RunResult:
    """Find the circuit of a task in a model, measure it, and save it with all that made it.

    Args:
        model: A bundled model's name, a hub name, a local folder, a loaded `PatchableModel`, or a live Hugging Face
            model with its tokenizer; the task's default model if None.
        task: A registered name, `path/to/file.py:Class`, `module:Class`, a `Task` class, a task, or a list of
            `PromptPair`.
        method: A name in `acdc.discovery.METHODS`.
        metric: What decides about edges: kl, logit_diff, prob_diff, nll, or a `Metric`; the task's own if None.
        ablation: What a removed edge carries: a name in `acdc.patching.ablations.ABLATIONS`.
        direction: noising: the clean prompts run, and an edge is kept whose removal makes the metric worse; denoising:
            the corrupted prompts run, removed edges carry the clean run's activations, and an edge is kept whose
            removal brings the answer back. Whichever it is, the circuit is measured by noising.
        positions: all: an edge acts at all tokens. spans: it is an edge of its own at each span that the task names,
            like `a0.h1->a5.h1<q>@S2`. each: at each position, where all prompts have one length.
        n: Number of prompt pairs; if the task has fewer, those are used, and it is said.
        seed: Seed of the prompts and of whatever is drawn.
        out: Where runs are kept, as `<out>/<task>/<model>/<method>/<run id>/`; None writes nothing.
        resume: Continue an unfinished run of the same arguments, prompts, weights and versions, if there is one.
        dtype, device, device_map, revision, trust_remote_code: How to load the model: see
            `PatchableModel.from_pretrained`.
        tokenizer: The tokenizer of a live Hugging Face model.
        bos: Whether prompts start with a BOS token; if None, as the tokenizer itself starts a text, or as the
            task asks (`Task.prepend_bos`).
        memory: About how much a step may take beside the model and the runs, as a number of bytes or like "2 GB":
            prompts are taken in groups that fit. The method's own default if None.
        task_options: Keyword arguments of the task's class.
        progress: True shows a bar; a function is called with each `Progress`. Of several processes the first tells.
        ranks: The processes that share the work, as `acdc.ranks.joined` gives them: see `docs/scale.md`.
        options: The method's own options, like `tau`: see `acdc methods`.

    Returns:
        The circuit, its metrics, and where they are.

    Raises:
        ACDCError: An argument can't be used. Names, numbers and the output folder are checked before the model is
            loaded.

    >>> result = discover("acdc-small", "ioi", tau=0.01)  # doctest: +SKIP
    >>> result.circuit.n_edges, result.metrics["accuracy"]["circuit"]  # doctest: +SKIP
    """
    clock = Clock()
    arguments = resolve_arguments(
        model,
        task,
        method=method,
        options=options,
        task_options=task_options,
        metric=metric,
        ablation=ablation,
        direction=direction,
        positions=positions,
        n=n,
        seed=seed,
        bos=bos,
        memory=memory,
        tokenizer=tokenizer,
        dtype=dtype,
        device=device,
        device_map=device_map,
        revision=revision,
        trust_remote_code=trust_remote_code,
        ranks=ranks,
    )
    runs = None if out is None else runs_folder(out, arguments.task.name, arguments.model.name, str(arguments.method))
    if runs is not None:
        check_writable(runs)
    with shown(progress if ranks.is_first else None) as tell:
        prepared = prepare(arguments, clock, tell)
        if runs is not None:
            return _kept(prepared, runs, resume, tell)
        prepared = with_learned(prepared, None, tell)
        found = _search(prepared, None, tell)
        announce(tell, "measuring the circuit")
        return conclude(prepared, found, None).result


def _kept(prepared: Prepared, runs: Path, resume: bool, tell: Tell | None) -> RunResult:
    """Search in a folder below `runs`; whatever stops it, a later call continues from there.

    Raises:
        UnsavedError: The circuit was found, and can't be written.
    """
    ranks = prepared.arguments.ranks
    workspace = shared_workspace(ranks, runs, prepared.fingerprint, resume=resume)
    with workspace.checkpoint:
        result = ranks.by_first(lambda: _finished(prepared, workspace.path))
        if result is None:
            prepared = with_learned(prepared, workspace.checkpoint, tell)
            found = _found(prepared, workspace, tell)
            announce(tell, "measuring the circuit")
            conclusion = conclude(prepared, found, workspace)
            result = ranks.by_first(lambda: write_run(workspace.path, conclusion, prepared.problem))
        workspace.checkpoint.discard()
    return result


def _finished(prepared: Prepared, folder: Path) -> RunResult | None:
    """This run, if an earlier process was stopped after it had written everything."""
    if not (folder / RECORD).exists():
        return None
    try:
        result = load_run(folder)
    except ACDCError as error:
        logger.warning("%s; the run is finished again from its checkpoint", error)
        return None
    return result if result.record.get("fingerprint") == prepared.fingerprint else None


def _found(prepared: Prepared, workspace: Workspace, tell: Tell | None) -> DiscoveryResult:
    """The search's result: the checkpoint's, or a search's that continues from it and records its result there."""
    checkpoint, graph = workspace.checkpoint, prepared.problem.graph
    if checkpoint.result is not None:
        try:
            found = result_from_json(checkpoint.result, graph)
        except FileError as error:
            logger.warning("%s; it is searched again", error)
            checkpoint.forget_result()
        else:
            prepared.clock.lap("search")
            return found
    found = _searched(prepared, workspace, tell)
    try:
        checkpoint.conclude(result_to_json(found, graph))
    except FileError as error:  # the other files may still fit; if not, that is told
        logger.warning("%s", error)
    return found


def _searched(prepared: Prepared, workspace: Workspace, tell: Tell | None) -> DiscoveryResult:
    """A search that keeps what it measures, unless it fails where it would fail again."""
    try:
        return _search(prepared, workspace.checkpoint, tell)
    except FileError:  # like a full disk: it says nothing of the search
        raise
    except ACDCError:
        discard(workspace)
        raise


def _search(prepared: Prepared, checkpoint: Checkpoint | None, tell: Tell | None) -> DiscoveryResult:
    """The method's work."""
    announce(tell, f"preparing {prepared.arguments.method}")
    heard = warning_of_hours(str(prepared.arguments.method), tell)
    found = prepared.arguments.search(prepared.problem, checkpoint=checkpoint, progress=heard)
    prepared.clock.lap("search")
    return found
