"""Tuned lenses on disk, as the package `tuned-lens` publishes them: a folder with `config.json` and `params.pt`.

`params.pt` holds tensors alone, `0.weight`, `0.bias`, `1.weight` and so on, and nothing else is ever read from it.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from acdc.circuits.formats.torch_files import load_plain, save_plain
from acdc.errors import CircuitError, FileError, printable
from acdc.files import read_bytes, read_json, validated, write_json
from acdc.interpret.lenses.tuned import TunedLens

__all__ = ["CONFIG", "PARAMS", "load_tuned_lens", "save_tuned_lens"]

CONFIG, PARAMS = "config.json", "params.pt"
MAX_BYTES = 2**35  # of the maps: of 80 layers of width 8,192 in float32 they are 22 GB


class _Config(BaseModel):
    """The fields that the format has; others, which older versions wrote, are left unread."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())

    base_model_name_or_path: Annotated[str, Field(max_length=4096)]
    d_model: Annotated[int, Field(ge=1, le=10**6)]
    num_hidden_layers: Annotated[int, Field(ge=1, le=10**5)]
    bias: bool = True
    base_model_revision: str | None = None
    unembed_hash: str | None = None
    lens_type: Literal["linear_tuned_lens"] = "linear_tuned_lens"


def save_tuned_lens(lens: TunedLens, folder: str | os.PathLike[str]) -> list[Path]:
    """Write a lens into a folder, which is made if it isn't there, and return the files.

    Raises:
        FileError: They can't be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"can't make the folder {folder}: {error.strerror or error}") from None
    config = _Config(
        base_model_name_or_path=lens.base,
        d_model=lens.bias.shape[1],
        num_hidden_layers=len(lens.bias),
        base_model_revision=lens.revision,
        unembed_hash=lens.unembed_hash or None,
    )
    state: dict[str, Tensor] = {}
    for layer, (weight, bias) in enumerate(zip(lens.weight.cpu(), lens.bias.cpu(), strict=True)):
        state |= {f"{layer}.weight": weight.clone(), f"{layer}.bias": bias.clone()}
    return [save_plain(state, folder / PARAMS), write_json(folder / CONFIG, config.model_dump())]


def load_tuned_lens(folder: str | os.PathLike[str]) -> TunedLens:
    """Read a lens, whoever trained it.

    Raises:
        FileError: A file is missing or damaged, the lens is of another type, or its tensors don't fit its config.
    """
    folder = Path(folder)
    if folder.is_file() or not (folder / CONFIG).exists():
        raise FileError(f"no tuned lens in {folder}: expected a folder with {CONFIG} and {PARAMS}")
    config = validated(_Config, read_json(folder / CONFIG), what=f"{folder / CONFIG} is not that of a tuned lens")
    content = read_bytes(folder / PARAMS, max_bytes=MAX_BYTES)
    try:
        state = load_plain(content, max_bytes=MAX_BYTES)
    except CircuitError as error:
        raise FileError(f"{folder / PARAMS} {error}") from None
    weight, bias = _maps(config, state, folder / PARAMS)
    revision, name = config.base_model_revision, config.base_model_name_or_path
    return TunedLens(weight, bias, name, revision, config.unembed_hash or "")


def _maps(config: _Config, state: object, path: Path) -> tuple[Tensor, Tensor]:
    """The layers' maps, stacked, in float32 at least."""
    layers, width = range(config.num_hidden_layers), config.d_model
    shapes: dict[str, tuple[int, ...]] = {f"{layer}.weight": (width, width) for layer in layers}
    if config.bias:
        shapes |= {f"{layer}.bias": (width,) for layer in layers}
    if not isinstance(state, dict):
        raise FileError(f"{path} holds no tensors by name")
    if wrong := sorted(map(str, shapes.keys() ^ state.keys())):
        raise FileError(f"{path}: {printable(wrong[0], 60)!r} is missing, or is no tensor of {len(layers)} layers")
    for name, shape in shapes.items():
        found = state[name]
        if not isinstance(found, Tensor) or tuple(found.shape) != shape or not found.is_floating_point():
            raise FileError(f"{path}: {name!r} is no tensor of numbers of the shape {list(shape)}")
        if not bool(found.isfinite().all()):
            raise FileError(f"{path}: {name!r} holds numbers that are NaN or infinite")
    dtype = torch.promote_types(state["0.weight"].dtype, torch.float32)
    weight = torch.stack([state[f"{layer}.weight"] for layer in layers]).to(dtype)
    if not config.bias:
        return weight, weight.new_zeros(len(layers), width)
    return weight, torch.stack([state[f"{layer}.bias"] for layer in layers]).to(dtype)
