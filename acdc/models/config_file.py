"""A model's config.json, checked before anything is built from it: types and bounds of what decides sizes.

A config may name any number of layers, and transformers would build lists and modules of that length before it looks at
a weight. What isn't a size is left to transformers' own checks.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from acdc.errors import FileError, ModelError, printable
from acdc.files import read_json, validated

__all__ = ["check_config", "check_config_file", "check_heads", "check_index", "has_experts"]

MAX_BYTES = 16 * 2**20

Layers = Annotated[int, Field(ge=1, le=1000)]
Heads = Annotated[int, Field(ge=1, le=4096)]
Width = Annotated[int, Field(ge=1, le=2**20)]
Tokens = Annotated[int, Field(ge=1, le=10**8)]
Experts = Annotated[int, Field(ge=1, le=4096)]


class _Sizes(BaseModel):
    """The fields that decide sizes, by every name that a supported family gives them."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())

    num_hidden_layers: Layers | None = None
    num_layers: Layers | None = None
    n_layers: Layers | None = None
    n_layer: Layers | None = None
    num_attention_heads: Heads | None = None
    num_heads: Heads | None = None
    n_head: Heads | None = None
    num_key_value_heads: Heads | None = None
    num_kv_heads: Heads | None = None
    hidden_size: Width | None = None
    n_embd: Width | None = None
    d_model: Width | None = None
    word_embed_proj_dim: Width | None = None
    head_dim: Width | None = None
    rotary_dim: Width | None = None
    intermediate_size: Annotated[int, Field(ge=1, le=2**24)] | None = None
    moe_intermediate_size: Annotated[int, Field(ge=1, le=2**24)] | None = None
    shared_expert_intermediate_size: Annotated[int, Field(ge=0, le=2**24)] | None = None
    n_inner: Annotated[int, Field(ge=1, le=2**24)] | None = None
    ffn_dim: Annotated[int, Field(ge=1, le=2**24)] | None = None
    ffn_hidden_size: Annotated[int, Field(ge=1, le=2**24)] | None = None
    vocab_size: Tokens | None = None
    max_position_embeddings: Tokens | None = None
    n_positions: Tokens | None = None
    n_ctx: Tokens | None = None
    sliding_window: Annotated[int, Field(ge=0, le=10**8)] | None = None
    window_size: Annotated[int, Field(ge=1, le=10**8)] | None = None
    num_experts: Experts | None = None
    num_local_experts: Experts | None = None
    n_routed_experts: Experts | None = None
    num_experts_per_tok: Experts | None = None


class _Config(_Sizes):
    """A whole config."""

    model_type: Annotated[str, Field(min_length=1, max_length=100)]


class _Index(BaseModel):
    """A model.safetensors.index.json: which file holds which tensor."""

    model_config = ConfigDict(strict=True, extra="allow")

    weight_map: Annotated[dict[str, str], Field(min_length=1, max_length=10**6)]


def check_config_file(folder: Path) -> None:
    """Check the config.json of a folder.

    Raises:
        ModelError: It isn't strict JSON, or a field has the wrong type or is out of bounds; the message names it.
    """
    try:
        check_config(read_json(folder / "config.json", max_bytes=MAX_BYTES), str(folder / "config.json"))
    except FileError as error:
        raise ModelError(str(error)) from None


def check_config(value: Any, name: str) -> None:
    """Check a config that was read from JSON.

    Raises:
        ModelError: A field has the wrong type or is out of bounds; the message names it.
    """
    if not isinstance(value, dict):
        raise ModelError(f"{name} holds no JSON object but a {type(value).__name__}")
    try:
        validated(_Config, value, what=f"{name} can't be used")
        if isinstance(text := value.get("text_config"), dict):  # of a model that reads images too
            validated(_Sizes, text, what=f"text_config of {name} can't be used")
    except FileError as error:
        raise ModelError(str(error)) from None


def has_experts(config: Any) -> bool:
    """Whether a model's MLPs are mixtures of experts."""
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    return any(getattr(config.get_text_config(), name, None) for name in names)


def check_heads(config: Any, name: str) -> None:
    """Check that the heads share the width, and the queries the keys, with every default filled in.

    Raises:
        ModelError: They don't divide.
    """
    heads, width = (getattr(config, key, None) for key in ("num_attention_heads", "hidden_size"))
    if not isinstance(heads, int) or not isinstance(width, int):
        return
    if getattr(config, "head_dim", None) is None and width % heads:
        raise ModelError(f"the config of {name!r}: its width (hidden_size {width}) can't be shared by {heads} heads")
    groups = getattr(config, "num_key_value_heads", None)
    if isinstance(groups, int) and groups and heads % groups:
        raise ModelError(f"the config of {name!r}: {heads} heads can't share {groups} keys and values")


def check_index(folder: Path) -> None:
    """Check that the files which an index of weights names are there.

    Raises:
        ModelError: The index is damaged, or a file is missing or no plain name.
    """
    path = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or not path.is_file():
        return
    try:
        index = validated(_Index, read_json(path), what=f"{path} is damaged")
    except FileError as error:
        raise ModelError(str(error)) from None
    for tensor, shard in index.weight_map.items():
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise ModelError(
                f"{path} says that {printable(tensor, 80)!r} is in {printable(shard, 80)!r}, and there is no such file "
                "in the folder; download the model again"
            )
