"""The arguments of a discovery, checked before anything long begins, and the model that they name."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from acdc.discovery import Method, get_method
from acdc.discovery.method import default_metric
from acdc.errors import ModelError, RunError, unknown_name
from acdc.metrics import Metric, get_metric
from acdc.models import PatchableModel
from acdc.models.hub import check_reachable
from acdc.models.loading import check_device_map, resolve
from acdc.models.patchable import as_device, as_dtype
from acdc.options import check_options
from acdc.patching.ablation import ABLATIONS
from acdc.ranges import Seed, checked
from acdc.task import Task, load_task
from acdc.zoo import zoo_names

__all__ = ["Plan", "load_model"]

LOADING = {"dtype": "float32", "device": "cpu", "device_map": None, "revision": None, "trust_remote_code": False}


@dataclass(frozen=True)
class Plan:
    """The arguments of `discover`, with every default filled in and all checked that needs no model.

    Attributes:
        model: The name of the model to load, or the live one.
        task_spec: The task as it can be named on the command line.
        loading: dtype, device, device_map, revision and trust_remote_code, as given.
    """

    model: str | PatchableModel
    task: Task
    task_spec: str
    method: Method
    metric: Metric
    ablation: str
    n: int
    seed: int
    loading: Mapping[str, Any]
    task_options: Mapping[str, Any]
    options: Mapping[str, Any]

    @classmethod
    def make(
        cls,
        model: str | Path | PatchableModel | None,
        task: str | Task | type[Task],
        method: str,
        metric: str | Metric | None,
        ablation: str,
        n: int,
        seed: int,
        loading: Mapping[str, Any],
        task_options: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> "Plan":
        chosen = get_method(method)
        filled = check_options(chosen, options)
        made = load_task(task, **task_options)
        if ablation not in ABLATIONS:
            raise unknown_name("ablation", ablation, ABLATIONS)
        _check_count("n", n, 1, "a positive number of prompt pairs")
        seed = checked("seed", Seed, seed)
        loading = {**LOADING, **loading}
        place = _model_to_load(made.default_model if model is None else model, loading)
        used = get_metric(default_metric(made, chosen) if metric is None else metric)
        if chosen.at_clean and used.flat_at_clean:
            raise RunError(
                f"method {method!r} takes gradients at the clean run, where metric {used.name!r} is flat, so every "
                "score would be 0; use logit_diff, nll or prob_diff, or a method like eap-ig-inputs"
            )
        spec = task if isinstance(task, str) else f"{type(made).__module__}:{type(made).__qualname__}"
        return cls(place, made, spec, chosen, used, ablation, n, seed, loading, task_options, filled)

    @property
    def model_name(self) -> str:
        """The model's name, loaded or not."""
        return self.model if isinstance(self.model, str) else self.model.name

    def arguments(self, model: PatchableModel) -> dict[str, Any]:
        """What JSON can hold of the arguments, with every default filled in."""
        used = {"dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device)}
        return {
            "model": self.model_name,
            "task": self.task_spec,
            "task_name": self.task.name,
            "task_options": dict(self.task_options),
            "method": self.method.name,
            "metric": self.metric.name,
            "ablation": self.ablation,
            "n": self.n,
            "seed": self.seed,
            **self.loading,
            **used,
            "options": dict(self.options),
        }


def _check_count(name: str, value: int, least: int, expected: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RunError(f"{name} must be {expected}, not {value!r}")


def _model_to_load(model: str | Path | PatchableModel, loading: Mapping[str, Any]) -> str | PatchableModel:
    """The model's name or the live model, after the checks that need no loading."""
    if isinstance(model, PatchableModel):
        if given := [name for name, default in LOADING.items() if loading[name] != default]:
            raise RunError(f"{', '.join(given)} can't be given with a model that is loaded already")
        return model
    if not isinstance(model, str | Path):
        raise RunError(f"model must be a name, a folder or a PatchableModel, not {type(model).__name__}")
    as_dtype(loading["dtype"])
    as_device(loading["device"])
    check_device_map(loading["device_map"], loading["device"])
    return str(model)


def load_model(plan: Plan) -> PatchableModel:
    """The plan's model.

    Raises:
        ModelError: It can't be loaded; where a bundled model has nearly this name, the message says so.
    """
    if isinstance(plan.model, PatchableModel):
        return plan.model
    name = plan.model
    try:
        place = resolve(name)
        if place == name:
            check_reachable(name, plan.loading["revision"])
        return PatchableModel.from_pretrained(name, **plan.loading)
    except ModelError as error:
        near = get_close_matches(name, zoo_names(), n=1, cutoff=0.6)
        if near and near[0] != name:
            raise ModelError(f"{error}; did you mean the bundled {near[0]!r}?") from error
        raise
