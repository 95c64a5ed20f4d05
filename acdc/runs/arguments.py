"""The arguments of a discovery, checked before anything long begins, and the model that they name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from acdc.discovery import Method, check_options, default_metric, get_method
from acdc.discovery.attribution.scores import check_gradient
from acdc.errors import RunError
from acdc.metrics import Metric, get_metric
from acdc.models import PatchableModel
from acdc.models.devices import as_device, as_dtype, check_device_map
from acdc.models.source import recorded_name
from acdc.patching.ablation import ABLATIONS
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptPair, check_count
from acdc.ranges import Seed, checked
from acdc.runs.places import task_place
from acdc.runs.prompt_file import PROMPTS
from acdc.task import PromptList, Task, load_task

__all__ = ["Plan", "live_model", "load_model"]

LOADING = {"dtype": "float32", "device": "cpu", "device_map": None, "revision": None, "trust_remote_code": False}


@dataclass(frozen=True)
class Plan:
    """The arguments of `discover`, with every default filled in and all checked that needs no model.

    Attributes:
        model: The name of the model to load, or the live one.
        task_spec: The task as it can be named on the command line.
        loading: dtype, device, device_map, revision and trust_remote_code, as given.
        bos: What stands before a prompt, as given: see `PromptBatch.from_pairs`.
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
    bos: bool | None = None

    @classmethod
    def make(
        cls,
        model: Any,
        task: str | Task | type[Task] | Sequence[PromptPair],
        method: str,
        metric: str | Metric | None,
        ablation: str,
        n: int,
        seed: int,
        loading: Mapping[str, Any],
        task_options: Mapping[str, Any],
        options: Mapping[str, Any],
        *,
        bos: bool | None = None,
        tokenizer: Any = None,
    ) -> "Plan":
        chosen = get_method(method)
        filled = check_options(chosen, options)
        made = load_task(task, **task_options)
        ABLATIONS.find(ablation)
        check_count(n)
        seed = checked("seed", Seed, seed)
        if bos is not None and not isinstance(bos, bool):
            raise RunError(f"bos must be True, False or None (as the tokenizer does), not {bos!r}")
        loading = {**LOADING, **loading}
        place = _model_to_load(made.default_model if model is None else live_model(model, tokenizer), loading)
        used = get_metric(default_metric(made, chosen) if metric is None else metric)
        if chosen.at_clean:
            check_gradient(used, chosen.name)
        return cls(place, made, _spec(task, made), chosen, used, ablation, n, seed, loading, task_options, filled, bos)

    @property
    def model_name(self) -> str:
        """The model's name, loaded or not."""
        return self.model if isinstance(self.model, str) else self.model.name

    def arguments(self, problem: Problem) -> dict[str, Any]:
        """What JSON can hold of the arguments, with every default filled in, places in full, and n as it came out."""
        model = problem.model
        used = {"dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device)}
        return {
            "model": recorded_name(self.model_name),
            "task": task_place(self.task_spec),
            "task_name": self.task.name,
            "task_options": {} if self.task_spec == PROMPTS else dict(self.task_options),
            "method": self.method.name,
            "metric": self.metric.name,
            "ablation": self.ablation,
            "n": problem.batch.n,
            **({} if self.n == problem.batch.n else {"n_asked": self.n}),  # a task may draw fewer in another way
            "seed": self.seed,
            "bos": self.bos,
            **self.loading,
            **used,
            "options": dict(self.options),
        }


def _spec(task: Any, made: Task) -> str:
    """The task as it can be named again: pairs that were given lie beside the circuit."""
    if isinstance(made, PromptList):
        return PROMPTS
    return task if isinstance(task, str) else f"{type(made).__module__}:{type(made).__qualname__}"


def live_model(model: Any, tokenizer: Any) -> Any:
    """The model itself, or a `PatchableModel` of a live Hugging Face model and its tokenizer.

    Raises:
        RunError: A live model without its tokenizer, or a tokenizer with anything else.
    """
    if isinstance(model, torch.nn.Module):
        if tokenizer is None:
            raise RunError("a live Hugging Face model needs its tokenizer beside it (tokenizer=...)")
        return PatchableModel(model, tokenizer)
    if tokenizer is not None:
        raise RunError("tokenizer goes with a live Hugging Face model; other models bring their own")
    return model


def _model_to_load(model: Any, loading: Mapping[str, Any]) -> str | PatchableModel:
    """The model's name or the live model, after the checks that need no loading."""
    if isinstance(model, PatchableModel):
        if given := [name for name, default in LOADING.items() if loading[name] != default]:
            raise RunError(f"{', '.join(given)} can't be given with a model that is loaded already")
        return model
    if not isinstance(model, str | Path):
        raise RunError(
            "model must be a name, a folder, a PatchableModel, or a Hugging Face model with its tokenizer, not "
            f"{type(model).__name__}"
        )
    as_dtype(loading["dtype"])
    as_device(loading["device"])
    check_device_map(loading["device_map"], loading["device"])
    return str(model)


def load_model(plan: Plan) -> PatchableModel:
    """The plan's model.

    Raises:
        ModelError: It can't be loaded.
    """
    if isinstance(plan.model, PatchableModel):
        return plan.model
    return PatchableModel.from_pretrained(plan.model, **plan.loading)
