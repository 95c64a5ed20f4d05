"""Tiny random models of every family, and random prompt pairs: the ground of the tests of the engines."""

import random

import torch
import transformers

from acdc.models import PatchableModel
from acdc.prompts import PromptBatch, PromptPair

VOCAB = 50


class NumberTokenizer:
    """Tokens are numbers; enough of a tokenizer for prompts given as token ids."""

    unk_token_id = None
    bos_token_id = 0
    name_or_path = "numbers"

    def __len__(self) -> int:
        return VOCAB

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(str(i) for i in ids)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [str(i) for i in ids]


def _gpt2(**changes: object) -> transformers.PretrainedConfig:
    shape = {
        "n_layer": 3,
        "n_head": 2,
        "n_embd": 16,
        "n_positions": 32,
        "vocab_size": VOCAB,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return transformers.GPT2Config(**(shape | changes))


def _rotary(config: type, **changes: object) -> transformers.PretrainedConfig:
    shape = {
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "hidden_size": 32,
        "intermediate_size": 40,
        "max_position_embeddings": 32,
        "vocab_size": VOCAB,
    }
    return config(**(shape | changes))


CONFIGS = {
    "gpt2": lambda: _gpt2(),
    "gpt2-scaled": lambda: _gpt2(scale_attn_by_inverse_layer_idx=True),
    "gpt2-untied": lambda: _gpt2(tie_word_embeddings=False),
    "neox-parallel": lambda: _rotary(transformers.GPTNeoXConfig, rotary_pct=0.5),
    "neox-serial": lambda: _rotary(transformers.GPTNeoXConfig, use_parallel_residual=False, attention_bias=False),
    "llama": lambda: _rotary(transformers.LlamaConfig, num_key_value_heads=4),
    "llama-gqa": lambda: _rotary(transformers.LlamaConfig, num_key_value_heads=2, attention_bias=True, mlp_bias=True),
    "llama-mqa": lambda: _rotary(transformers.LlamaConfig, num_key_value_heads=1, head_dim=10),
    "mistral-window": lambda: _rotary(transformers.MistralConfig, num_key_value_heads=2, sliding_window=4),
    "qwen2": lambda: _rotary(transformers.Qwen2Config, num_key_value_heads=2),
    "qwen2-window": lambda: _rotary(
        transformers.Qwen2Config, num_key_value_heads=2, use_sliding_window=True, sliding_window=3, max_window_layers=1
    ),
}


def tiny_model(family: str, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> PatchableModel:
    """A random model whose weights are large enough that every node matters."""
    torch.manual_seed(seed)
    hf = transformers.AutoModelForCausalLM.from_config(CONFIGS[family]()).eval()
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.5 * min(parameter.shape) ** -0.5)
            elif name.endswith("bias"):
                parameter.normal_(std=0.2)
    return PatchableModel(hf.to(dtype), NumberTokenizer(), name=family)


def tiny_batch(*, n: int = 4, seed: int = 0, lengths: tuple[int, ...] = (7, 9, 6, 9), shared: int = 2) -> PromptBatch:
    """Random pairs of several lengths that share their first `shared` tokens; one or two right answers, two wrong."""
    rng = random.Random(seed)
    pairs = []
    for i in range(n):
        start, rest = rng.choices(range(VOCAB), k=shared), lengths[i % len(lengths)] - shared
        clean, corrupt = (start + rng.choices(range(VOCAB), k=rest) for _ in range(2))
        answers = rng.sample(range(VOCAB), 5)
        pairs.append(PromptPair(clean, corrupt, answers[: 1 + i % 2], answers[2 : 4 + i % 2]))
    return PromptBatch.from_pairs(pairs, NumberTokenizer(), task_name="random")
