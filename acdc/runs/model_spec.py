"""Which model a run is about, and how to load it: its name is resolved here, once, before anything is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from acdc.errors import RunError
from acdc.models import PatchableModel
from acdc.models.devices import as_device, as_dtype, check_device_map
from acdc.models.source import ModelSource, available_model, recorded_name
from acdc.options.defaults import DEVICE, DTYPE
from acdc.ranks import own_device

__all__ = ["ModelSpec"]


@dataclass(frozen=True)
class ModelSpec:
    """A model to load, or one that is loaded already.

    Attributes:
        name: As it was given: for messages, and for the folders of runs.
        recorded: As a record keeps it: a local folder by its whole path, any other name as it is.
        source: The model itself, or where its files are.
        dtype, device, device_map, revision, trust_remote_code: See `PatchableModel.from_pretrained`.
    """

    name: str
    recorded: str
    source: ModelSource | PatchableModel
    dtype: str = DTYPE
    device: str = DEVICE
    device_map: str | Mapping[str, Any] | None = None
    revision: str | None = None
    trust_remote_code: bool = False

    @classmethod
    def of(
        cls,
        model: Any,
        *,
        tokenizer: Any = None,
        dtype: str | torch.dtype = DTYPE,
        device: str = DEVICE,
        device_map: str | Mapping[str, Any] | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> "ModelSpec":
        """The model that is meant, after the checks that need no loading.

        Args:
            model: A bundled model's name, a hub name, a local folder, a `PatchableModel`, a live Hugging Face model, or
                a `ModelSpec`, which is what it is.
            tokenizer: The tokenizer of a live Hugging Face model.

        Raises:
            RunError: It is none of these; a tokenizer is missing or too many; a loaded model is to be loaded otherwise.
            ModelError: There is no such folder or device, or the device map can't be used.
            UnknownNameError: The dtype has no known name.
        """
        model = _live(model, tokenizer)
        dtype = str(as_dtype(dtype)).removeprefix("torch.")
        loading: dict[str, Any] = {"dtype": dtype, "device": device, "device_map": device_map}
        loading |= {"revision": revision, "trust_remote_code": trust_remote_code}
        if isinstance(model, PatchableModel | ModelSpec):
            if others := [name for name, value in loading.items() if value != getattr(cls, name)]:
                raise RunError(f"{', '.join(others)} can't be given with a model that is loaded already")
            if isinstance(model, ModelSpec):
                return model
            return cls(model.name, recorded_name(model.name), model).as_loaded(model)
        if not isinstance(model, str | Path):
            raise RunError(
                "model must be a name, a folder, a PatchableModel, or a Hugging Face model with its tokenizer, not "
                f"{type(model).__name__}"
            )
        as_device(device)
        check_device_map(device_map, device)
        return cls(str(model), recorded_name(str(model)), available_model(str(model), revision), **loading)

    def load(self) -> PatchableModel:
        """The model with its weights.

        Raises:
            ModelError: It can't be loaded.
        """
        if isinstance(self.source, PatchableModel):
            return self.source
        return PatchableModel.from_pretrained(
            self.source,
            dtype=self.dtype,
            device=own_device(self.device),
            device_map=self.device_map,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
        )

    def as_loaded(self, model: PatchableModel) -> "ModelSpec":
        """The same, with the dtype and the device that the model has: a device map may leave them open."""
        return replace(self, dtype=str(model.dtype).removeprefix("torch."), device=str(model.device))

    def to_json(self) -> dict[str, Any]:
        """How it was loaded, as a record keeps it."""
        names = ("dtype", "device", "device_map", "revision", "trust_remote_code")
        return {name: getattr(self, name) for name in names}


def _live(model: Any, tokenizer: Any) -> Any:
    """A `PatchableModel` of a live Hugging Face model and its tokenizer; anything else as it is."""
    if isinstance(model, torch.nn.Module):
        if tokenizer is None:
            raise RunError("a live Hugging Face model needs its tokenizer beside it (tokenizer=...)")
        return PatchableModel(model, tokenizer)
    if tokenizer is not None:
        raise RunError("tokenizer goes with a live Hugging Face model; other models bring their own")
    return model
