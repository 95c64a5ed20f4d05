"""SAELens's cfg.json: of version 6, and of the versions before, whose keys are renamed as SAELens itself does it."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from acdc.errors import FileError, printable
from acdc.files import read_json, validated

__all__ = ["SAELensConfig", "read_config"]

MAX_BYTES = 16 * 2**20
ARCHITECTURES = (
    "standard",
    "topk",
    "jumprelu",
    "gated",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)
RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
SCALED = "expected_average_only_in"
Size = Annotated[int, Field(ge=1, le=2**27)]


class SAELensConfig(BaseModel):
    """The fields that decide what is computed."""

    model_config = ConfigDict(strict=True, extra="ignore")

    architecture: str
    d_in: Size
    d_sae: Size
    d_out: Size | None = None
    k: Size | None = None
    rescale_acts_by_decoder_norm: bool = False
    apply_b_dec_to_input: bool = True
    normalize_activations: str = "none"
    reshape_activations: str = "none"
    metadata: dict[str, Any] = {}

    @property
    def is_transcoder(self) -> bool:
        return "transcoder" in self.architecture

    @property
    def has_skip(self) -> bool:
        return "skip" in self.architecture

    @property
    def width_out(self) -> int:
        return self.d_in if self.d_out is None else self.d_out

    def hook(self, key: str) -> str | None:
        """The name of a site: that of the Hugging Face module where both stand there, since it says more."""
        names = (self.metadata.get(f"hf_{key}"), self.metadata.get(key))
        return next((name for name in names if isinstance(name, str)), None)


def read_config(path: Path, *, has_scale: bool) -> SAELensConfig:
    """The config of a file.

    Args:
        has_scale: The caller gives the scale of the activations, where it isn't part of the weights.

    Raises:
        FileError: It can't be read, or asks for what isn't read here.
    """
    if not path.is_file():
        raise FileError(f"there is no {path} beside the weights: it says what they are")
    raw = read_json(path, max_bytes=MAX_BYTES, allow_nan=True)
    if not isinstance(raw, dict):
        raise FileError(f"{path} holds no JSON object but a {type(raw).__name__}")
    config = validated(SAELensConfig, raw if _is_modern(raw) else _modernised(raw), what=f"{path} can't be used")
    _check(config, path, has_scale)
    return config


def _is_modern(raw: dict[str, Any]) -> bool:
    """Whether version 6 or later wrote it."""
    metadata = raw.get("metadata")
    version = raw.get("sae_lens_version") or (metadata.get("sae_lens_version") if isinstance(metadata, dict) else None)
    major = re.match(r"\d{1,4}", str(version))
    return isinstance(metadata, dict) and (major is None or int(major[0]) >= 6)


def _modernised(raw: dict[str, Any]) -> dict[str, Any]:
    """The keys of version 6; what isn't one of them is metadata."""
    old = {RENAMED.get(key, key): value for key, value in raw.items()}
    options = old.get("activation_fn_kwargs") or {}
    if old.get("activation_fn") == "topk" and isinstance(options, dict):
        old |= {"architecture": "topk", "k": options.get("k", old.get("k"))}
    elif old.get("activation_fn", "relu") != "relu":
        raise FileError(f"SAELens's activation function {printable(str(old['activation_fn']), 40)!r} isn't read here")
    old["architecture"] = old.get("architecture") or "standard"
    old.setdefault("reshape_activations", "hook_z" if "hook_z" in str(old.get("hook_name")) else "none")
    normalize = old.get("normalize_activations")
    old["normalize_activations"] = {None: "none", False: "none", True: SCALED}.get(normalize, normalize)
    fields = SAELensConfig.model_fields
    metadata = {key: value for key, value in old.items() if key not in (*fields, "sae_lens_version")}
    return {key: old[key] for key in fields if key in old} | {"metadata": metadata | dict(old.get("metadata") or {})}


def _check(config: SAELensConfig, path: Path, has_scale: bool) -> None:
    if config.architecture not in ARCHITECTURES:
        raise FileError(
            f"{path}: the architecture {printable(config.architecture, 60)!r} isn't read here: its features aren't "
            f"those of one encoder and one activation (read: {', '.join(ARCHITECTURES)})"
        )
    if config.architecture == "topk" and config.k is None:
        raise FileError(f"{path} is of a TopK SAE and doesn't say k")
    if config.k is not None and config.k > config.d_sae:
        raise FileError(f"{path} asks for k = {config.k:,} of {config.d_sae:,} features")
    if config.is_transcoder and (config.apply_b_dec_to_input or config.normalize_activations != "none"):
        raise FileError(f"{path}: a transcoder whose input is changed by b_dec, or normalised, isn't read here")
    _check_activations(config, path, has_scale)


def _check_activations(config: SAELensConfig, path: Path, has_scale: bool) -> None:
    if config.normalize_activations not in ("none", SCALED, "constant_norm_rescale", "layer_norm"):
        name = printable(config.normalize_activations, 60)
        raise FileError(f"{path}: activations normalised by {name!r} aren't read here")
    if config.normalize_activations == SCALED and not has_scale:
        raise FileError(
            f"{path}: activations were scaled to an average norm of sqrt({config.d_in}) in training, and the weights "
            "don't hold the scale: give it as input_scale (sqrt(d_in) / mean norm of the activations), or 1 if it was "
            "folded into the weights"
        )
    if config.normalize_activations != SCALED and has_scale:
        raise FileError(f"{path} doesn't ask for a scale of the activations: leave input_scale out")
    if config.reshape_activations not in ("none", "hook_z"):
        raise FileError(f"{path}: activations reshaped by {printable(config.reshape_activations, 60)!r} aren't read")
    if config.metadata.get("hook_head_index") is not None:
        raise FileError(f"{path} reads a single head (hook_head_index), which is no site of ours")
