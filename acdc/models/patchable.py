"""`PatchableModel`: a Hugging Face causal language model whose heads and MLPs can be read and patched one by one."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import ModelError, TaskError, unknown_name
from acdc.graph import Graph
from acdc.models.families import FAMILIES, Family
from acdc.models.loading import load_config, load_model, load_tokenizer, resolve
from acdc.models.parts import Parts
from acdc.prompts import PromptBatch

__all__ = ["DTYPES", "PatchableModel"]

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class PatchableModel:
    """A live Hugging Face model and its computational graph; the model itself is not changed.

    Args:
        hf: A causal language model of a supported family, in evaluation mode.
        tokenizer: Its tokenizer.
        name: Name for outputs and messages; the model's own path if not given.

    Attributes:
        graph: Sources, destinations and edges.
        parts: The modules and per-head weight views that the engines use.
        revision: Commit hash on the hub, if known.

    Raises:
        ModelError: The family isn't supported, or the model is in training mode.
    """

    def __init__(self, hf: Any, tokenizer: Any, *, name: str | None = None) -> None:
        if hf.training:
            raise ModelError("the model is in training mode, where dropout makes it random; call model.eval() first")
        self.family = family_of(hf.config)
        self.hf, self.tokenizer = hf, tokenizer
        self.name = name or hf.config.name_or_path or self.family.name
        self.revision: str | None = getattr(hf.config, "_commit_hash", None)
        with torch.no_grad():  # views of weights that need no gradient, whatever the model's parameters do
            self.parts: Parts = self.family.read(hf)
        n_heads, d_model, _ = self.parts.blocks[0].attention.W_Q.shape
        self.graph = Graph(len(self.parts.blocks), n_heads, d_model, self.parts.parallel)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        dtype: str | torch.dtype = "float32",
        device: str = "cpu",
        trust_remote_code: bool = False,
    ) -> "PatchableModel":
        """Load a bundled model, a local folder or a model of the Hugging Face hub. Weights must be safetensors.

        Args:
            name_or_path: `acdc-small`, `path/to/folder`, `gpt2`, `EleutherAI/pythia-160m`…
            revision: Branch, tag or commit on the hub.
            dtype: float32, float64, bfloat16 or float16.
            device: `cpu`, `cuda`, `cuda:1`, `mps`…
            trust_remote_code: Whether code that comes with the model may run.

        Raises:
            ModelError: It can't be found or read, lacks weights, or isn't of a supported family.
            UnknownNameError: The dtype has no known name.
        """
        torch_dtype, torch_device = as_dtype(dtype), as_device(device)
        place = resolve(str(name_or_path))
        config = load_config(place, revision, trust_remote_code)
        family_of(config)
        tokenizer = load_tokenizer(place, revision, trust_remote_code)
        hf = load_model(place, config, revision, torch_dtype, trust_remote_code)
        return cls(hf.to(torch_device).eval(), tokenizer, name=str(name_or_path))

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, and so of the activations."""
        return self.parts.unembed.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.parts.unembed.device

    @property
    def n_context(self) -> int:
        """Longest prompt that the model's config allows."""
        return int(self.hf.config.max_position_embeddings)

    def check_batch(self, batch: PromptBatch) -> None:
        """Raise `TaskError` unless every prompt fits into the model's context and vocabulary."""
        if (longest := int(batch.lengths.max())) > self.n_context:
            raise TaskError(
                f"task {batch.task!r} has a prompt of {longest} tokens, longer than the context of {self.name!r} "
                f"({self.n_context} tokens); use shorter prompts or another model"
            )
        answers = torch.cat([batch.correct, batch.wrong], 1)
        largest = int(max(batch.clean.max(), batch.corrupt.max(), answers.max()))
        if largest >= (n_vocab := self.parts.unembed.shape[0]):
            raise TaskError(
                f"task {batch.task!r} has token id {largest}, but {self.name!r} knows only {n_vocab} tokens"
            )

    def embed(self, ids: Int[Tensor, "batch pos"], positions: Int[Tensor, "batch pos"]) -> Float[Tensor, "b p d_model"]:
        """The residual stream's start: what the source `input` writes."""
        return self.parts.embed(ids, positions)

    def unembed(
        self, residual: Float[Tensor, "rows d_model"], tokens: Int[Tensor, " n_tokens"] | None = None
    ) -> Float[Tensor, "rows n_tokens"]:
        """Logits of `tokens` (default: of all) from the last residual stream."""
        weight, bias = self.parts.unembed, self.parts.unembed_bias
        if tokens is not None:
            weight, bias = weight[tokens], None if bias is None else bias[tokens]
        return torch.nn.functional.linear(self.parts.final_norm(residual), weight, bias)

    @torch.no_grad()
    def reference_logits(self, batch: PromptBatch) -> Float[Tensor, "batch vocab"]:
        """The clean prompts' target logits as the unmodified Hugging Face model computes them."""
        out = self.hf(
            input_ids=batch.clean,
            attention_mask=batch.attention.long(),
            position_ids=batch.position_ids,
            use_cache=False,
        )
        return out.logits[:, -1]

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"PatchableModel({self.name!r}, {self.family.name}, {self.graph.shape}, {dtype} on {self.device})"


def family_of(config: Any) -> Family:
    """The family of a Hugging Face config.

    Raises:
        ModelError: Its `model_type` isn't supported.
    """
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"models of type {config.model_type!r} are not supported; supported are {', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[config.model_type]


def as_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The torch type of this name."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    return DTYPES[dtype]


def as_device(device: str) -> torch.device:
    """The torch device of this name, if this machine has it."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {device!r} can't be used here: {reason}") from error
    return found
