"""A saved circuit with its world made again: model, task and prompts, checked against what it was found with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import ShapelessError, read_circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError, RunError, UnknownNameError
from acdc.files import validated
from acdc.metrics import Metric, get_metric
from acdc.models import PatchableModel
from acdc.models.source import recorded_name
from acdc.patching.ablation import ABLATIONS
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptPair
from acdc.runs.arguments import live_model
from acdc.runs.fingerprint import model_identity
from acdc.runs.folders import RECORD
from acdc.runs.places import check_recorded_task, task_place
from acdc.runs.prompt_file import PROMPTS, read_prompts
from acdc.runs.records import Provenance
from acdc.runs.result import CIRCUIT, RunResult, find_run, load_run
from acdc.task import Task, load_task

__all__ = ["ReloadedRun", "open_circuit", "reload"]

DEFAULTS: dict[str, Any] = {
    "task_options": {},
    "method": None,
    "metric": None,
    "ablation": "corrupt",
    "n": 50,
    "seed": 0,
    "bos": None,
    "dtype": "float32",
    "device": "cpu",
    "revision": None,
    "trust_remote_code": False,
}
HASHES = {"weights_sha256": "weights", "config_sha256": "configuration", "tokenizer_sha256": "tokenizer"}


@dataclass(frozen=True, eq=False)
class ReloadedRun:
    """A circuit, and what it was found with.

    Attributes:
        arguments: The arguments of `discover`, with what was given instead of them.
        identity: The loaded model's hashes: see `acdc.runs.fingerprint.model_identity`.
        tau: The threshold that it was found with; None where there is none, or none in this metric's unit.
        prompts_sha256: Of the prompts that it was found on, as recorded; None where that isn't known.
        warnings: What differs from the record.
        beside: The folder for its evaluation, beside the file or in the run that it was read from.
        kept: The file of the prompts that it was found on; None where there is none, or another task is asked about.
    """

    circuit: Circuit
    arguments: Mapping[str, Any]
    model: PatchableModel
    task: Task
    metric: Metric
    ablation: str
    identity: Mapping[str, Any]
    tau: float | None
    prompts_sha256: str | None
    warnings: tuple[str, ...]
    beside: Path | None
    kept: Path | None = None

    def problem(self, *, n: int | None = None, seed: int | None = None, held_out: bool = False) -> Problem:
        """The circuit's problem on new prompts; by default on those that it was found on."""
        n, seed = self.arguments["n"] if n is None else n, self.arguments["seed"] if seed is None else seed
        batch = self.task.batch(self.model.tokenizer, n, seed, held_out=held_out, bos=self.arguments["bos"])
        return Problem.make(self.model, batch, metric=self.metric, ablation=self.ablation, seed=seed)

    def discovery_problem(self) -> tuple[Problem, str | None]:
        """The problem in which the circuit was found, and a warning if the task now gives other prompts."""
        problem = self.problem()
        if self.prompts_sha256 in (None, problem.batch.fingerprint):
            return problem, None
        told = (
            f"task {self.task.name!r} gives other prompts now than those that the circuit was found on: its code, its "
            "options, n or the seed have changed, so what is said of the discovery prompts is said of "
        )
        if self.kept is not None:
            kept = replace(self, task=read_prompts(self.kept, self.task.name)).problem()
            if kept.batch.fingerprint == self.prompts_sha256:
                return kept, f"{told}those that the run has kept ({self.kept.name})"
        return problem, f"{told}these"


def open_circuit(
    run: str | Path | RunResult | Circuit, graph: Graph | None = None
) -> tuple[Circuit, dict[str, Any], Path | None]:
    """The circuit that `run` means, its record, and the folder for its evaluation.

    Args:
        run: A run's folder, a folder with runs (the newest), a circuit file in any format, a result, or a circuit.
        graph: The model's, for files that don't say its shape.

    Returns:
        The circuit; `arguments`, `model` (hashes) and `prompts_sha256` as far as they are known; the folder, if it was
        read from a place.
    """
    if isinstance(run, Circuit):
        return run, _from_provenance(run.provenance), None
    if not isinstance(run, RunResult):
        path = Path(run).expanduser()
        if path.is_file() and not (path.name == CIRCUIT and (path.parent / RECORD).is_file()):
            circuit, name = (
                read_circuit(path, graph=graph),
                "evaluation" if path.name == CIRCUIT else f"evaluation-{path.stem}",
            )
            return circuit, _from_provenance(circuit.provenance), path.parent / name
        run = load_run(path.parent if path.is_file() else find_run(path))
    return run.circuit, dict(run.record), None if run.path is None else run.path / "evaluation"


def reload(
    run: str | Path | RunResult | Circuit,
    *,
    model: Any = None,
    tokenizer: Any = None,
    task: str | Task | type[Task] | Sequence[PromptPair] | None = None,
    task_options: Mapping[str, Any] | None = None,
    metric: str | Metric | None = None,
    ablation: str | None = None,
    bos: bool | None = None,
    dtype: str | None = None,
    device: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    trust_task: bool = False,
    force: bool = False,
    flip_scores: bool = False,
) -> ReloadedRun:
    """Load the model and the task of a saved circuit again.

    Args:
        run: See `open_circuit`.
        model, task, task_options, metric, ablation, bos, dtype, device, revision: Instead of what the record says.
        tokenizer: The tokenizer of `model`, if that is a live Hugging Face model.
        trust_remote_code: Whether code that comes with the model may run; a record can't allow that.
        trust_task: Whether a recorded task that is in a file or a module may be run; a record can't allow that.
        force: Go on, with a warning, where the model isn't the one that the circuit was found in.
        flip_scores: Take the scores with the opposite sign: see `Circuit.flip_scores`.

    Raises:
        RunError: The record doesn't say which model or task, it names code as its task, or the weights, configuration
            or tokenizer differ from it.
        CircuitError: The circuit belongs to a model of another shape.
        ACDCError: Model or task can't be loaded.
    """
    try:
        circuit, record, beside = open_circuit(run)
    except ShapelessError:
        if model is None:
            raise RunError(f"{run} doesn't say the model's shape; name its model (model, --model)") from None
        loading = {"dtype": dtype, "device": device, "revision": revision}
        model = _model(DEFAULTS | {key: value for key, value in loading.items() if value}, model, trust_remote_code)
        circuit, record, beside = open_circuit(run, model.graph)
    circuit = circuit.flip_scores() if flip_scores else circuit
    arguments = DEFAULTS | dict(record.get("arguments", {}))
    arguments["n"] = arguments.pop("n_asked", None) or arguments["n"]  # as many as the task was asked for then
    given: dict[str, Any] = {"ablation": ablation, "dtype": dtype, "device": device, "revision": revision}
    given |= {"task_options": task_options, "bos": bos}
    arguments |= {key: value for key, value in given.items() if value is not None}
    if task is not None and task_options is None:
        arguments["task_options"] = {}
    kept = _kept(beside) if task is None and task_options is None and bos is None else None
    made = _task(arguments, task, kept, trust_task)
    chosen = _metric(arguments, metric, made)
    ABLATIONS.find(arguments["ablation"])
    loaded = _model(arguments, model if model is None else live_model(model, tokenizer), trust_remote_code)
    if circuit.graph != loaded.graph:
        raise CircuitError(
            f"a circuit of {circuit.graph.shape} of width {circuit.graph.d_model} doesn't fit {loaded.name!r} "
            f"({loaded.graph.shape} of width {loaded.graph.d_model}); name its model (model, --model)"
        )
    identity = model_identity(loaded)
    warnings = _differences(record.get("model", {}), identity)
    if warnings and not force:
        raise RunError(f"{'; '.join(warnings)}. --force (force=True) evaluates the circuit in this model all the same")
    used = {
        "model": recorded_name(loaded.name),
        "metric": chosen.name,
        "task_name": made.name,
        "device": str(loaded.device),
    }
    if isinstance(task, str):
        used["task"] = task_place(task)
    return ReloadedRun(
        circuit=circuit,
        arguments=arguments | used,
        model=loaded,
        task=made,
        metric=chosen,
        ablation=arguments["ablation"],
        identity=identity,
        tau=_tau(record, chosen),
        prompts_sha256=record.get("prompts_sha256"),
        warnings=tuple(warnings),
        beside=beside,
        kept=kept,
    )


def _tau(record: Mapping[str, Any], metric: Metric) -> float | None:
    """The threshold in the metric's unit: as it was resolved where it was given as a share."""
    arguments = record.get("arguments", {})
    tau = {**arguments.get("options", {}), **record.get("resolved", {})}.get("tau")
    return float(tau) if isinstance(tau, int | float) and arguments.get("metric") == metric.name else None


def _from_provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A record, as far as a circuit's own provenance goes: there the arguments and the method's options lie flat.

    Raises:
        FileError: A value is not of its kind.
    """
    read = validated(Provenance, dict(provenance), what="what the circuit says of its origin is wrong")
    provenance = read.model_dump(exclude_unset=True)
    if "operands" in provenance:  # a circuit made of others has no run of its own
        provenance = {key: value for key, value in provenance.items() if key != "prompts_sha256"}
    named = {"task", "task_name", "model", "n_asked", *DEFAULTS}
    arguments = {key: value for key, value in provenance.items() if key in named}
    other = {"prompts_sha256", "claims", "resolved", "operation", "operands", "flipped_scores", *HASHES}
    arguments["options"] = {key: value for key, value in provenance.items() if key not in named | other}
    hashes = {key: provenance[key] for key in HASHES if key in provenance} | {"dtype": provenance.get("dtype")}
    return {
        "arguments": arguments,
        "model": hashes,
        "prompts_sha256": provenance.get("prompts_sha256"),
        "resolved": provenance.get("resolved", {}),
    }


def _kept(beside: Path | None) -> Path | None:
    """The file of the run's prompts, if it has one."""
    path = None if beside is None else beside.parent / PROMPTS
    return path if path is not None and path.is_file() else None


def _task(
    arguments: Mapping[str, Any],
    task: str | Task | type[Task] | Sequence[PromptPair] | None,
    kept: Path | None,
    trusted: bool,
) -> Task:
    recorded = arguments.get("task")
    spec = task if task is not None or recorded is None else check_recorded_task(recorded, trusted=trusted)
    if spec is None:
        raise RunError("the circuit doesn't say which task it was found for; name it (task, --task)")
    if spec != PROMPTS:
        return load_task(spec, **arguments["task_options"])
    if kept is None:
        raise RunError(
            f"the circuit was found on a list of prompts, which is read from the run's {PROMPTS} as it is; without "
            "that file, or to change it, give the list again (task=[...])"
        )
    return read_prompts(kept, str(arguments.get("task_name", "prompts")))


def _metric(arguments: Mapping[str, Any], metric: str | Metric | None, task: Task) -> Metric:
    name = metric if metric is not None else arguments["metric"] or task.metric
    try:
        return get_metric(name)
    except UnknownNameError as error:
        if metric is not None:
            raise
        raise RunError(f"the circuit was found with a metric of its own, {name!r}; give it, or another one") from error


def _model(arguments: Mapping[str, Any], model: Any, trust_remote_code: bool) -> PatchableModel:
    if isinstance(model, PatchableModel):
        return model
    name = arguments.get("model") if model is None else str(model)
    if name is None:
        raise RunError("the circuit doesn't say which model it belongs to; name it (model, --model)")
    if arguments["trust_remote_code"] and not trust_remote_code:
        raise RunError(
            f"model {name!r} was loaded with code of its own, which runs again only if you allow it "
            "(trust_remote_code, --trust-remote-code)"
        )
    loading = {key: arguments[key] for key in ("revision", "dtype", "device")}
    return PatchableModel.from_pretrained(name, **loading, trust_remote_code=trust_remote_code)


def _differences(recorded: Mapping[str, Any], loaded: Mapping[str, Any]) -> list[str]:
    """What of the model differs from the record, in words; weights of another dtype can't be compared."""
    same_dtype = recorded.get("dtype") in (None, loaded["dtype"])
    return [
        f"the {what} of {loaded['name']!r} differs from that of the model in which the circuit was found"
        for key, what in HASHES.items()
        if recorded.get(key) not in (None, loaded[key]) and (same_dtype or key == "tokenizer_sha256")
    ]
