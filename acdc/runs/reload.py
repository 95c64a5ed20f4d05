"""A saved circuit with its world made again: model, task and prompts, checked against what it was found with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import ShapelessError
from acdc.discovery import METHODS
from acdc.errors import ACDCError, CircuitError, RunError, UnknownNameError
from acdc.metrics import Metric, get_metric
from acdc.models import PatchableModel
from acdc.models.devices import OFFLOAD
from acdc.options.defaults import ABLATION, DIRECTION, N_PROMPTS, SEED
from acdc.options.sizes import size_of
from acdc.patching.problem import Problem
from acdc.progress import Tell
from acdc.prompts.batch import PromptPair
from acdc.prompts.positions import positions_of
from acdc.runs.arguments import Arguments, checked_settings, given_name
from acdc.runs.fingerprint import HASHED, model_identity
from acdc.runs.model_spec import ModelSpec
from acdc.runs.opening import Opened, open_circuit
from acdc.runs.places import check_recorded_task
from acdc.runs.prompt_file import PROMPTS, read_prompts
from acdc.runs.result import RunResult
from acdc.task import Task, load_task

__all__ = ["ReloadedRun", "reload"]


@dataclass(frozen=True, eq=False)
class ReloadedRun:
    """A circuit, and what it was found with.

    Attributes:
        arguments: Those that it was found with, or what was given instead of them.
        identity: The loaded model's hashes: see `acdc.runs.fingerprint.model_identity`.
        threshold: The method's threshold, as a number; None where it has none, or none in this metric's unit.
        prompts_sha256: Of the prompts that it was found on, as recorded; None where that isn't known.
        warnings: What differs from the record.
        beside: The folder for its evaluation, beside the file or in the run that it was read from.
        kept: The file of the prompts that it was found on; None where there is none, or another task is asked about.
    """

    circuit: Circuit
    arguments: Arguments
    model: PatchableModel
    identity: Mapping[str, Any]
    threshold: float | None
    prompts_sha256: str | None
    warnings: tuple[str, ...]
    beside: Path | None
    kept: Path | None = None

    def problem(self, *, n: int | None = None, seed: int | None = None, held_out: bool = False) -> Problem:
        """The circuit's problem on new prompts; by default on those that it was found on."""
        return self.arguments.problem(self.model, n=n, seed=seed, held_out=held_out, engines=())

    def discovery_problem(self, tell: Tell | None = None) -> tuple[Problem, str | None]:
        """The problem in which the circuit was found, and a warning if the task now gives other prompts.

        Args:
            tell: Told how much memory an evaluation will take.
        """
        problem, task = self.arguments.problem(self.model, engines=("evaluation",), tell=tell), self.arguments.task
        if self.prompts_sha256 in (None, problem.batch.fingerprint):
            return problem, None
        told = (
            f"task {task.name!r} gives other prompts now than those that the circuit was found on: its code, its "
            "options, n or the seed have changed, so what is said of the discovery prompts is said of "
        )
        if self.kept is not None:
            kept = replace(self.arguments, task=read_prompts(self.kept, task.name)).problem(self.model)
            if kept.batch.fingerprint == self.prompts_sha256:
                return kept, f"{told}those that the run has kept ({self.kept.name})"
        return problem, f"{told}these"


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
    device_map: str | Mapping[str, Any] | None = None,
    memory: int | str | None = None,
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
        memory: About how much a step may take, as a number of bytes or like "2 GB"; each engine's own default if None.
        device_map: How to spread the model: see `PatchableModel.from_pretrained`. A record's isn't taken up.
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
    room = size_of("memory", memory)
    given = {"dtype": dtype, "device": device, "device_map": device_map, "revision": revision}
    loading: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    loading |= {"tokenizer": tokenizer, "trust_remote_code": trust_remote_code}
    (circuit, record, beside), loaded = _opened(run, model, loading)
    recorded = record.get("arguments", {})
    options = recorded.get("task_options", {}) if task is None else {}
    options = options if task_options is None else task_options
    kept = _kept(beside) if task is None and task_options is None and bos is None else None
    made, changed = _task(recorded, task, options, kept, trust_task)
    arguments = Arguments(
        task=made,
        task_given=given_name(recorded.get("task") if task is None else task, made),
        task_options=options,
        method=recorded.get("method"),
        options=recorded.get("options", {}),
        metric=_metric(recorded, metric, made),
        memory=room,
        **checked_settings(
            ablation=recorded.get("ablation", ABLATION) if ablation is None else ablation,
            n=recorded.get("n_asked") or recorded.get("n", N_PROMPTS),  # as many as the task was asked for then
            seed=recorded.get("seed", SEED),
            bos=recorded.get("bos") if bos is None else bos,
            direction=recorded.get("direction", DIRECTION),
            positions=positions_of(circuit.graph.spans),
        ),
        spans=circuit.graph.spans,
        model=_model(recorded, model, loading) if loaded is None else ModelSpec.of(loaded),
    )
    loaded = arguments.model.load()
    _check_shape(circuit, loaded)
    identity = model_identity(loaded)
    warnings = _differences(record.get("model", {}), identity)
    if warnings and not force:
        raise RunError(f"{'; '.join(warnings)}. --force (force=True) evaluates the circuit in this model all the same")
    return ReloadedRun(
        circuit=circuit.flip_scores() if flip_scores else circuit,
        arguments=replace(arguments, model=arguments.model.as_loaded(loaded)),
        model=loaded,
        identity=identity,
        threshold=_threshold(record, arguments.metric),
        prompts_sha256=record.get("prompts_sha256"),
        warnings=(*warnings, *([changed] if changed else [])),
        beside=beside,
        kept=kept,
    )


def _opened(
    run: str | Path | RunResult | Circuit, model: Any, loading: Mapping[str, Any]
) -> tuple[Opened, PatchableModel | None]:
    """The circuit, and the model where that had to be loaded to know the circuit's shape."""
    try:
        return open_circuit(run), None
    except ShapelessError:
        if model is None:
            raise RunError(f"{run} doesn't say the model's shape; name its model (model, --model)") from None
    loaded = _model({}, model, loading).load()
    return open_circuit(run, loaded.graph), loaded


def _kept(beside: Path | None) -> Path | None:
    """The file of the run's prompts, if it has one."""
    path = None if beside is None else beside.parent / PROMPTS
    return path if path is not None and path.is_file() else None


def _task(
    recorded: Mapping[str, Any],
    task: str | Task | type[Task] | Sequence[PromptPair] | None,
    options: Mapping[str, Any],
    kept: Path | None,
    trusted: bool,
) -> tuple[Task, str | None]:
    """The task, and what is to be told of it where its data file has changed."""
    name = recorded.get("task")
    spec = task if task is not None or name is None else check_recorded_task(name, trusted=trusted)
    if spec is None:
        raise RunError("the circuit doesn't say which task it was found for; name it (task, --task)")
    if spec != PROMPTS:
        return (load_task(spec, **options), None) if task is not None else _unchanged(spec, recorded, options, kept)
    if kept is None:
        raise RunError(
            f"the circuit was found on a list of prompts, which is read from the run's {PROMPTS} as it is; without "
            "that file, or to change it, give the list again (task=[...])"
        )
    return read_prompts(kept, str(recorded.get("task_name", "prompts"))), None


def _unchanged(
    spec: Any, recorded: Mapping[str, Any], options: Mapping[str, Any], kept: Path | None
) -> tuple[Task, str | None]:
    """The recorded task; where its data file is not what it was, the prompts that the run has kept, and a warning.

    Raises:
        RunError: The file has changed or is gone, and nothing was kept.
    """
    digest = recorded.get("task_sha256")
    if digest is None:
        return load_task(spec, **options), None
    try:
        made = load_task(spec, **options)
        if made.digest == digest:
            return made, None
        why = f"{spec} has changed since the circuit was found"
    except ACDCError as error:
        why = f"the file of the circuit's prompts can't be used any more ({error})"
    if kept is None:
        raise RunError(f"{why}; name the task to be measured on (task, --task)")
    told = f"{why}: what is said is said of the prompts that the run has kept ({kept.name}); --task names others"
    return read_prompts(kept, str(recorded.get("task_name", "prompts"))), told


def _metric(recorded: Mapping[str, Any], metric: str | Metric | None, task: Task) -> Metric:
    name = metric if metric is not None else recorded.get("metric") or task.metric
    try:
        return get_metric(name)
    except UnknownNameError as error:
        if metric is not None:
            raise
        raise RunError(f"the circuit was found with a metric of its own, {name!r}; give it, or another one") from error


def _model(recorded: Mapping[str, Any], model: Any, loading: Mapping[str, Any]) -> ModelSpec:
    """The model that is given, or else the recorded one; loaded as it was then, unless that is given too."""
    if model is not None and not isinstance(model, str | Path):
        return ModelSpec.of(model, **loading)
    name = recorded.get("model") if model is None else str(model)
    if name is None:
        raise RunError("the circuit doesn't say which model it belongs to; name it (model, --model)")
    if recorded.get("trust_remote_code") and not loading["trust_remote_code"]:
        raise RunError(
            f"model {name!r} was loaded with code of its own, which runs again only if you allow it "
            "(trust_remote_code, --trust-remote-code)"
        )
    names = (
        ("dtype", "revision") if loading.get("device_map") not in (None, OFFLOAD) else ("dtype", "device", "revision")
    )
    then = {key: recorded[key] for key in names if key in recorded}
    return ModelSpec.of(name, **{**then, **loading})


def _check_shape(circuit: Circuit, model: PatchableModel) -> None:
    if circuit.graph.whole != model.graph:
        raise CircuitError(
            f"a circuit of {circuit.graph.shape} of width {circuit.graph.d_model} doesn't fit {model.name!r} "
            f"({model.graph.shape} of width {model.graph.d_model}); name its model (model, --model)"
        )


def _differences(recorded: Mapping[str, Any], loaded: Mapping[str, Any]) -> list[str]:
    """What of the model differs from the record, in words; weights of another dtype can't be compared."""
    same_dtype = recorded.get("dtype") in (None, loaded["dtype"])
    return [
        f"the {what} of {loaded['name']!r} differs from that of the model in which the circuit was found"
        for key, what in HASHED.items()
        if recorded.get(key) not in (None, loaded[key]) and (same_dtype or key == "tokenizer_sha256")
    ]


def _threshold(record: Mapping[str, Any], metric: Metric) -> float | None:
    """The threshold in the metric's unit: as it was resolved where it was given as a share."""
    arguments = record.get("arguments", {})
    method = METHODS.get(arguments.get("method"))
    if method is None or method.threshold is None or arguments.get("metric") != metric.name:
        return None
    value = {**arguments["options"], **record.get("resolved", {})}.get(method.threshold)
    return float(value) if isinstance(value, int | float) else None
