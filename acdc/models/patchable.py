"""`PatchableModel`: a Hugging Face causal language model whose heads and MLPs can be read and patched one by one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.errors import ModelError, TaskError
from acdc.models.adapter import base_of, is_adapter, merged, tokenizer_of
from acdc.models.bypassed import check_bypassed
from acdc.models.components import ModelComponents
from acdc.models.devices import OFFLOAD, as_device, as_dtype, check_device_map
from acdc.models.families import family_of
from acdc.models.loading import Origin, load_config, load_model, load_tokenizer, loaded
from acdc.models.memory import check_weights, weight_bytes, without_weights
from acdc.models.offload import is_offloaded, offload_map
from acdc.models.placement import read_placed
from acdc.models.source import ModelSource, available_model, suggesting
from acdc.options.defaults import DEVICE, DTYPE
from acdc.prompts.batch import PromptBatch

__all__ = ["PatchableModel"]


class PatchableModel:
    """A live Hugging Face model and its computational graph; the model itself is not changed.

    Args:
        hf: A causal language model of a supported family, in evaluation mode.
        tokenizer: Its tokenizer.
        name: Name for outputs and messages; the model's own path if not given.

    Attributes:
        graph: Sources, destinations and edges.
        components: The modules and per-head weight views that the engines use.
        revision: Commit hash on the hub, if known.
        offloaded: Whether some blocks are kept elsewhere and read one at a time.

    Raises:
        ModelError: The family isn't supported, or the model is in training mode, wrapped or hooked.
    """

    def __init__(self, hf: Any, tokenizer: Any, *, name: str | None = None) -> None:
        if hf.training:
            raise ModelError("the model is in training mode, where dropout makes it random; call model.eval() first")
        self.family = family_of(hf.config)
        self.hf, self.tokenizer = hf, tokenizer
        self.name = name or hf.config.name_or_path or self.family.name
        self.revision: str | None = getattr(hf.config, "_commit_hash", None)
        self.offloaded = is_offloaded(hf)
        check_bypassed(hf, self.family.reads)
        with torch.no_grad():  # views of weights that need no gradient, whatever the model's parameters do
            self.components: ModelComponents = read_placed(hf, self.family)
        n_heads, d_model, _ = self.components.blocks[0].attention.W_Q.shape
        self.graph = Graph(len(self.components.blocks), n_heads, d_model, self.components.parallel)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path | ModelSource,
        *,
        revision: str | None = None,
        dtype: str | torch.dtype = DTYPE,
        device: str = DEVICE,
        device_map: str | Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
    ) -> "PatchableModel":
        """Load a bundled model, a local folder, a GGUF file or a model of the Hugging Face hub.

        A folder's and a hub model's weights must be safetensors. A PEFT adapter's folder is its base model with the
        adapter merged into its weights.

        Args:
            name_or_path: `acdc-small`, `path/to/folder`, `path/to/file.gguf`, `smollm2` (see `acdc models`), `gpt2`,
                `EleutherAI/pythia-160m`…; or a model that was found.
            revision: Branch, tag or commit on the hub.
            dtype: float32, float64, bfloat16 or float16.
            device: `cpu`, `cuda`, `cuda:1`, `mps`…
            device_map: Spreads the weights over devices, the CPU and the disk, by the package accelerate: `auto`, a
                device's name, or which module goes where, like `{"": "cuda:1"}`; instead of `device`. With `offload`
                all but the blocks lies on `device`, and these in the CPU's memory or on the disk, read one at a time.
            trust_remote_code: Whether code that comes with the model may run.

        Raises:
            ModelError: It can't be found or read, lacks weights, isn't of a supported family, or does not fit into
                memory.
            UnknownNameError: The dtype has no known name.
        """
        torch_dtype, torch_device = as_dtype(dtype), as_device(device)
        check_device_map(device_map, device)
        given = name_or_path
        source = given if isinstance(given, ModelSource) else available_model(str(given), revision)
        name = source.name
        if source.path is not None and is_adapter(source.path):
            where: dict[str, Any] = {"dtype": dtype, "device": device, "device_map": device_map}
            base = cls.from_pretrained(base_of(source.path), trust_remote_code=trust_remote_code, **where)
            return cls(merged(base.hf, source.path), tokenizer_of(source.path) or base.tokenizer, name=name)
        with suggesting(name):
            origin = Origin(source.place(), revision, trust_remote_code)
            config = load_config(origin)
        loaded(origin.place, lambda: family_of(config))
        tokenizer = load_tokenizer(origin)
        if device_map is None:  # accelerate plans by itself what goes where
            needed = loaded(origin.place, lambda: weight_bytes(config, torch_dtype, trust_remote_code))
            check_weights(name, needed, torch_dtype, {torch.device("cpu"), torch_device})
        if device_map == OFFLOAD:
            device_map = offload_map(without_weights(config, trust_remote_code), torch_device, torch_dtype)
        hf = load_model(origin, config, torch_dtype, torch_device, device_map)
        return loaded(origin.place, lambda: cls(hf, tokenizer, name=name))

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, and so of the activations."""
        return self.components.unembed.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.components.unembed.device

    @property
    def n_context(self) -> int | None:
        """Longest prompt that the model's config allows; None where nothing limits it (ALiBi).

        Rotary tables of the kind `longrope` depend on the longest prompt of a batch beyond the original context, so
        there that one is the limit.
        """
        config = self.hf.config.get_text_config()
        rope = getattr(config, "rope_parameters", None) or {}
        if rope.get("rope_type") == "longrope":
            return int(rope["original_max_position_embeddings"])
        if self.components.blocks[0].attention.alibi is not None:
            return None
        limits = (getattr(config, "max_position_embeddings", None), self.components.n_context)
        return min((int(limit) for limit in limits if limit is not None), default=None)

    def check_batch(self, batch: PromptBatch) -> None:
        """Raise `TaskError` unless every prompt fits into the model's context and vocabulary."""
        limit, longest = self.n_context, int(batch.lengths.max())
        if limit is not None and longest > limit:
            raise TaskError(
                f"task {batch.task!r} has a prompt of {longest} tokens, longer than the context of {self.name!r} "
                f"({limit} tokens); use shorter prompts or another model"
            )
        largest = int(torch.cat([batch.clean, batch.corrupt, batch.correct, batch.wrong], 1).max())
        if largest >= (n_vocab := self.components.unembed.shape[0]):
            raise TaskError(
                f"task {batch.task!r} has token id {largest}, but {self.name!r} knows only {n_vocab} tokens"
            )

    def embed(self, ids: Int[Tensor, "batch pos"], positions: Int[Tensor, "batch pos"]) -> Float[Tensor, "b p d_model"]:
        """The residual stream's start: what the source `input` writes."""
        return self.components.embed(ids, positions)

    def unembed(
        self, residual: Float[Tensor, "rows d_model"], tokens: Int[Tensor, " n_tokens"] | None = None
    ) -> Float[Tensor, "rows n_tokens"]:
        """Logits of `tokens` (default: of all) from the last residual stream; a token's logits lie beside each other.

        Products of few rows and many tokens are faster with the tokens first and a multiple of 8 rows.
        """
        weight, bias = self.components.unembed, self.components.unembed_bias
        if tokens is not None:
            weight, bias = weight[tokens], None if bias is None else bias[tokens]
        x = torch.nn.functional.pad(self.components.ln_final(residual), (0, 0, 0, -len(residual) % 8))
        logits = (weight @ x.T).T[: len(residual)]
        if bias is not None:
            logits = logits + bias
        if self.components.logit_divisor != 1:
            logits = logits / self.components.logit_divisor
        cap = self.components.logit_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    @torch.no_grad()
    def reference_logits(self, batch: PromptBatch) -> Float[Tensor, "batch vocab"]:
        """The clean prompts' target logits as the unmodified Hugging Face model computes them.

        Prompts of one length are run together and none is padded: in float64 some models' own attention gives NaN
        beside padding.
        """
        found = batch.clean.new_empty(batch.n, len(self.components.unembed), dtype=self.dtype)
        for length in batch.lengths.unique().tolist():
            rows = (batch.lengths == length).nonzero()[:, 0]
            out = self.hf(input_ids=batch.clean[rows, -length:], use_cache=False)
            found[rows] = out.logits[:, -1].to(self.dtype)
        return found

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"PatchableModel({self.name!r}, {self.family.name}, {self.graph.shape}, {dtype} on {self.device})"
