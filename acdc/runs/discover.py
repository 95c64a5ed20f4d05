"""One discovery from its arguments to a saved, resumable result."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.circuits.views import MAX_LISTED_EDGES
from acdc.defaults import ABLATION, DEVICE, DTYPE, MEMORY, N_PROMPTS, OUT, SEED
from acdc.discovery import Checkpoint, DiscoveryResult
from acdc.drawing import draw
from acdc.errors import ACDCError, FileError, ModelError, UnsavedError
from acdc.evaluation import measure
from acdc.files import write_atomically, write_json
from acdc.metrics import Metric
from acdc.patching.problem import Problem
from acdc.progress import Progress, Tell
from acdc.progress.bars import Progressing, shown
from acdc.prompts.batch import PromptBatch, PromptPair
from acdc.runs.arguments import Plan, load_model
from acdc.runs.conclusion import found_from_json, found_to_json
from acdc.runs.fingerprint import model_identity, run_fingerprint, versions
from acdc.runs.folders import RECORD, Workspace, check_writable, discard, open_workspace, runs_folder
from acdc.runs.prompt_file import PROMPTS, write_prompts
from acdc.runs.result import CIRCUIT, METRICS, RunResult, load_run
from acdc.task import Task

__all__ = ["RunResult", "discover", "load_run"]

logger = logging.getLogger(__name__)

UNSAVED = "what was found is in the checkpoint: make room there, and the same command or call writes it at once"
# how far our logits may be from Hugging Face's, in units of the largest logit (of 1, where all are smaller); some
# models' own norms and softmax are in float32 in a float64 model too
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.2}


def discover(
    model: Any,
    task: str | Task | type[Task] | Sequence[PromptPair],
    *,
    method: str = "acdc",
    metric: str | Metric | None = None,
    ablation: str = ABLATION,
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
    task_options: Mapping[str, Any] | None = None,
    progress: Progressing = None,
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
        ablation: What a removed edge carries: corrupt, zero, mean, noise or resample.
        n: Number of prompt pairs; if the task has fewer, those are used, and it is said.
        seed: Seed of the prompts and of whatever is drawn.
        out: Where runs are kept, as `<out>/<task>/<model>/<method>/<run id>/`; None writes nothing.
        resume: Go on with an unfinished run of the same arguments, prompts, weights and versions, if there is one.
        dtype, device, device_map, revision, trust_remote_code: How to load the model: see
            `PatchableModel.from_pretrained`.
        tokenizer: The tokenizer of a live Hugging Face model.
        bos: Whether prompts start with a BOS token; if None, as the tokenizer itself starts a text, or as the task
            wishes (`Task.prepend_bos`).
        task_options: Keyword arguments of the task's class.
        progress: True shows a bar; a function is called with a `Progress` as the run goes on.
        options: The method's own options, like `tau`: see `acdc methods`.

    Returns:
        The circuit, its metrics, and where they are.

    Raises:
        ACDCError: An argument can't be used. Names, numbers and the output folder are checked before the model is
            loaded.

    >>> result = discover("acdc-small", "ioi", tau=0.01)  # doctest: +SKIP
    >>> result.circuit.n_edges, result.metrics["accuracy"]["circuit"]  # doctest: +SKIP
    """
    clock = _Clock()
    loading = {
        "dtype": dtype,
        "device": device,
        "device_map": device_map,
        "revision": revision,
        "trust_remote_code": trust_remote_code,
    }
    plan = Plan.make(
        model,
        task,
        method,
        metric,
        ablation,
        n,
        seed,
        loading,
        task_options or {},
        options,
        bos=bos,
        tokenizer=tokenizer,
    )
    runs = None if out is None else runs_folder(out, plan.task.name, plan.model_name, plan.method.name)
    if runs is not None:
        check_writable(runs)
    with shown(progress) as tell:
        _tell(tell, f"loading {plan.model_name}")
        patchable = load_model(plan)
        _tell(tell, "making prompts")
        batch = plan.task.batch(patchable.tokenizer, n, seed, bos=bos)
        for note in batch.notes:
            logger.warning("%s", note)
        problem = Problem.make(patchable, batch, metric=plan.metric, ablation=ablation, seed=seed)
        run = _Run(plan, problem, clock, tell)
        if runs is None:
            return run.finish(run.search(None), None)
        return run.saved_in(runs, resume)


def _tell(tell: Tell | None, stage: str) -> None:
    if tell is not None:
        tell(Progress(0, 0, stage=stage))


class _Clock:
    """When the run started, and how long its parts took."""

    def __init__(self) -> None:
        self.started, self._start, self.seconds = datetime.now(UTC), time.monotonic(), dict[str, float]()

    def lap(self, name: str) -> None:
        """Note the time since the last lap under this name."""
        self.seconds[name] = round(time.monotonic() - self._start - sum(self.seconds.values()), 3)

    def read(self) -> dict[str, float]:
        return self.seconds | {"total": round(time.monotonic() - self._start, 3)}


class _Run:
    """A search that is about to be made, and what identifies it."""

    def __init__(self, plan: Plan, problem: Problem, clock: _Clock, tell: Tell | None) -> None:
        self.plan, self.problem, self.clock, self.tell = plan, problem, clock, tell
        self.held_out: PromptBatch | None = None
        self.parity = _parity(problem)
        self.arguments = plan.arguments(problem)
        self.identity: dict[str, Any] = {
            "arguments": self.arguments,
            "model": model_identity(problem.model),
            "prompts_sha256": problem.batch.fingerprint,
            "versions": versions(),
        }
        self.fingerprint = run_fingerprint(self.identity)
        clock.lap("loading")

    def saved_in(self, runs: Path, resume: bool) -> RunResult:
        """Search in a workspace below `runs`; whatever stops it, a later call goes on from there."""
        workspace = open_workspace(runs, self.fingerprint, resume=resume)
        with workspace.checkpoint:
            result = self.finished_in(workspace.path)
            if result is None:
                result = self.finish(self.found_in(workspace), workspace)
            workspace.checkpoint.discard()
        return result

    def finished_in(self, folder: Path) -> RunResult | None:
        """This run, if an earlier process was stopped after it had written everything."""
        if not (folder / RECORD).exists():
            return None
        try:
            result = load_run(folder)
        except ACDCError as error:
            logger.warning("%s; the run is finished again from its checkpoint", error)
            return None
        return result if result.record.get("fingerprint") == self.fingerprint else None

    def found_in(self, workspace: Workspace) -> DiscoveryResult:
        """The search's result: the checkpoint's, or a search's that goes on from it and keeps its result there."""
        checkpoint, graph = workspace.checkpoint, self.problem.model.graph
        if checkpoint.result is not None:
            try:
                found = found_from_json(checkpoint.result, graph)
            except FileError as error:
                logger.warning("%s; it is searched again", error)
                checkpoint.forget_result()
            else:
                self.clock.lap("search")
                return found
        found = self.searched(workspace)
        try:
            checkpoint.conclude(found_to_json(found, graph))
        except FileError as error:  # the other files may still fit; if not, that is told
            logger.warning("%s", error)
        return found

    def searched(self, workspace: Workspace) -> DiscoveryResult:
        """A search that keeps what it measures, unless it fails where it would fail again."""
        try:
            return self.search(workspace.checkpoint)
        except FileError:  # like a full disk: it says nothing of the search
            raise
        except ACDCError:
            discard(workspace)
            raise

    def search(self, checkpoint: Checkpoint | None) -> DiscoveryResult:
        """The method's work."""
        method, options = self.plan.method, self.plan.options
        _tell(self.tell, f"preparing {method.name}")
        found = method.search(self.problem, checkpoint=checkpoint, progress=self.tell, **options)
        self.clock.lap("search")
        return found

    def finish(self, found: DiscoveryResult, workspace: Workspace | None) -> RunResult:
        """Measure the circuit and write everything; the record comes last, as the sign of a finished run.

        Raises:
            UnsavedError: Something can't be written.
        """
        _tell(self.tell, "measuring the circuit")
        graph, provenance = self.problem.model.graph, self.provenance(found)
        circuit = Circuit(graph, found.mask, found.scores, provenance, found.score_kind)
        metrics = {**measure(self.problem, found.mask), "held_out": self.measure_held_out(found.mask)}
        self.clock.lap("measuring")
        warnings = [*self.prompts()["notes"], *_warnings(found, metrics)]
        record = self.record(found, workspace) | {"warnings": warnings}
        if workspace is None:
            return RunResult(circuit, metrics, record)
        try:
            files = self.write(workspace.path, circuit, metrics, record)
        except FileError as error:
            raise UnsavedError(f"{error}; {UNSAVED}", RunResult(circuit, metrics, record)) from None
        return RunResult(circuit, metrics, record, workspace.path, files)

    def write(
        self, folder: Path, circuit: Circuit, metrics: Mapping[str, Any], record: dict[str, Any]
    ) -> tuple[Path, ...]:
        """Write everything; the record, which names the files, comes last.

        Raises:
            FileError: Something can't be written.
        """
        tokenizer, batch = self.problem.model.tokenizer, self.problem.batch
        files = _write_results(folder, circuit, metrics)
        files = (*files, write_prompts(folder / PROMPTS, tokenizer, batch, self.held_out))
        record["files"] = [*(file.name for file in files), RECORD]
        return (*files, write_json(folder / RECORD, record))

    def measure_held_out(self, mask: Bool[Tensor, "src dst"]) -> dict[str, Any] | None:
        """The circuit's metrics on as many prompts that the search did not see; None where the task has none to give.

        `n_seen` counts those that it did see after all, because the task gave them again.
        """
        plan, problem = self.plan, self.problem
        try:
            batch = plan.task.batch(problem.model.tokenizer, plan.n, plan.seed, held_out=True, bos=plan.bos)
            held_out = Problem.make(problem.model, batch, metric=plan.metric, ablation=plan.ablation, seed=plan.seed)
        except ACDCError as error:
            logger.warning("the circuit was not measured on held-out prompts: %s", error)
            return None
        self.held_out = held_out.batch
        return {**measure(held_out, mask), "n_seen": held_out.batch.n_shared(problem.batch)}

    def provenance(self, found: DiscoveryResult) -> dict[str, Any]:
        """What the circuit itself carries: nothing that differs between two equal runs."""
        model = self.identity["model"]
        hashes = {key: model[key] for key in ("revision", "weights_sha256", "tokenizer_sha256")}
        options = self.arguments["options"]
        flat = {key: value for key, value in self.arguments.items() if key != "options"}
        return {
            **flat,
            **options,
            **hashes,
            "prompts_sha256": self.identity["prompts_sha256"],
            "claims": dict(found.guarantees),
            **({"resolved": dict(found.resolved)} if found.resolved else {}),
        }

    def prompts(self) -> dict[str, Any]:
        """How many prompts were asked for, what was put before them, and what else is to be known of them."""
        batch, held_out = self.problem.batch, self.held_out
        return {
            "n": batch.n,
            "n_asked": self.plan.n,
            "n_held_out": 0 if held_out is None else held_out.n,
            "before": list(batch.before),
            "notes": list(dict.fromkeys([*batch.notes, *(held_out.notes if held_out is not None else ())])),
        }

    def record(self, found: DiscoveryResult, workspace: Workspace | None) -> dict[str, Any]:
        """What `run.json` holds."""
        return {
            "id": None if workspace is None else workspace.path.name,
            "fingerprint": self.fingerprint,
            "started": self.clock.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": self.clock.read(),
            "resumed": workspace is not None and workspace.checkpoint.recorded > 0,
            **self.identity,
            "given": {"model": self.plan.model_name, "task": self.plan.task_spec},
            "task": {"name": self.plan.task.name, "summary": self.plan.task.summary, "source": self.plan.task.source},
            "prompts": self.prompts(),
            "parity": self.parity,
            "cost": dict(found.cost),
            "claims": dict(found.guarantees),
            "evidence": dict(found.diagnostics),
            "resolved": dict(found.resolved),
        }


def _warnings(found: DiscoveryResult, metrics: Mapping[str, Any]) -> list[str]:
    """What the search and the measurements warn of, each thing once."""
    held_out = metrics["held_out"] or {}
    told = [*found.warnings, *metrics.get("warnings", ())]
    told += [f"on held-out prompts: {warning}" for warning in held_out.get("warnings", ()) if warning not in told]
    return list(dict.fromkeys(told))


def _write_results(folder: Path, circuit: Circuit, metrics: Mapping[str, Any]) -> tuple[Path, ...]:
    """Write everything but the record; a picture that fails is told of and left out."""
    files = [circuit.save(folder / CIRCUIT), write_json(folder / METRICS, metrics)]
    files.append(
        write_atomically(folder / "edges.csv", circuit.to_frame(most=MAX_LISTED_EDGES).to_csv(index=False).encode())
    )
    for name in ("circuit.dot", "circuit.svg"):
        try:
            files += draw(circuit, folder / name)
        except FileError:
            raise
        except Exception as error:  # hours of search are not lost for a picture
            logger.warning("%s could not be drawn: %s", name, error)
    return tuple(dict.fromkeys(files))


def _parity(problem: Problem) -> dict[str, float]:
    """How far our clean logits are from those of the unmodified Hugging Face model.

    Raises:
        ModelError: Too far for rounding: this model isn't computed as its family says.
    """
    ours = problem.clean.logits.double()
    theirs = torch.cat([problem.model.reference_logits(part) for part in _parts(problem.batch, ours.shape[1])]).double()
    scale = max(1.0, float(theirs.abs().max()))
    difference, allowed = float((ours - theirs).abs().max()), TOLERANCE[problem.model.dtype] * scale
    if not difference <= allowed:
        raise ModelError(
            f"the logits of {problem.model.name!r} differ from Hugging Face's by {difference:.3g} (allowed: "
            f"{allowed:.3g}), so its circuit would not be this model's; please report the model"
        )
    return {"max_abs_difference": difference, "allowed": allowed}


def _parts(batch: PromptBatch, vocab: int, memory: int = MEMORY) -> list[PromptBatch]:
    """The batch in pieces whose logits at all positions fit into about `memory` bytes."""
    size = max(1, memory // (4 * vocab * batch.n_pos))
    return [batch.select(list(range(start, min(start + size, batch.n)))) for start in range(0, batch.n, size)]
