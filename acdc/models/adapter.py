"""PEFT adapters: a folder with what was trained beside a base model, merged into its weights when it is loaded."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from acdc.errors import FileError, ModelError
from acdc.files import read_json, validated
from acdc.models.loading import Origin, load_tokenizer, loaded

__all__ = ["base_of", "is_adapter", "merged", "tokenizer_of"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class _Config(BaseModel):
    """The field of an adapter's config that is used here."""

    model_config = ConfigDict(strict=True, extra="allow")

    base_model_name_or_path: Annotated[str, Field(min_length=1, max_length=4096)]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return (folder / CONFIG).is_file()


def base_of(folder: Path) -> str:
    """The name of an adapter's base model, as its config gives it.

    Raises:
        ModelError: The config is damaged, the weights aren't safetensors, or peft isn't installed.
    """
    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"the adapter in {str(folder)!r} has no {WEIGHTS}; save it again as safetensors")
    if find_spec("peft") is None:
        raise ModelError(f"{str(folder)!r} is a PEFT adapter, which needs the package peft: pip install peft")
    try:
        config = validated(_Config, read_json(folder / CONFIG), what=f"{folder / CONFIG} can't be used")
    except FileError as error:
        raise ModelError(str(error)) from None
    return config.base_model_name_or_path


def tokenizer_of(folder: Path) -> Any | None:
    """The tokenizer that lies beside the adapter; None if none does, and the base model's is meant."""
    return load_tokenizer(Origin(str(folder))) if (folder / "tokenizer_config.json").is_file() else None


def merged(hf: Any, folder: Path) -> Any:
    """The base model with the adapter added to its weights.

    Raises:
        ModelError: The adapter doesn't fit the model, or is of a kind that can't be merged.
    """
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of names in transformers that peft uses
        adapted = loaded(str(folder), lambda: peft.PeftModel.from_pretrained(hf, folder))
        return loaded(str(folder), lambda: adapted.merge_and_unload(safe_merge=True)).eval()
