"""Tiny random models of every family, and random prompt pairs: the ground of the tests of the engines."""

import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
import transformers
from torch.overrides import TorchFunctionMode

from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch, PromptPair
from tests.configs import CONFIGS, EXPERT_FAMILIES, VOCAB


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


def _kernels(family: str) -> dict[str, str]:
    """The default way to multiply with many experts' weights knows no float64."""
    return {"experts_implementation": "eager"} if family in EXPERT_FAMILIES else {}


def tiny_model(family: str, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> PatchableModel:
    """A random model whose weights are large enough that every node matters."""
    torch.manual_seed(seed)
    hf = transformers.AutoModelForCausalLM.from_config(CONFIGS[family](), **_kernels(family)).eval()
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.5 * min(parameter.shape) ** -0.5)
            elif name.endswith(("bias", "sinks")):
                parameter.normal_(std=0.2)
            elif "norm" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return PatchableModel(hf.to(dtype), NumberTokenizer(), name=family)


class KeepDouble(TorchFunctionMode):
    """Within it, float64 stays float64 where a model's own code goes down to float32 (norms, softmax, scores)."""

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if args and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64:
            if function is torch.Tensor.float or (
                function in (torch.Tensor.to, torch.Tensor.type) and torch.float32 in (*args[1:], *kwargs.values())
            ):
                return args[0]
            if kwargs.get("dtype") == torch.float32:
                kwargs["dtype"] = torch.float64
        return function(*args, **kwargs)


def kept_double(family: str) -> AbstractContextManager[Any]:
    """`KeepDouble` for families whose router rounds to float32, where how tokens are packed shows in the 9th digit."""
    return KeepDouble() if family in ("llama4", "dots1") else nullcontext()


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


def split_batch(*, n: int = 4, seed: int = 0, lengths: tuple[int, ...] = (7, 9, 6, 9), shared: int = 2) -> PromptBatch:
    """The same with three spans: one that comes before and after another in different prompts, and one of the last two
    tokens."""
    batch, rng = tiny_batch(n=n, seed=seed, lengths=lengths, shared=shared), random.Random(seed)
    ids = torch.tensor([[rng.randrange(2) for _ in row] for row in batch.clean.tolist()])
    ids[:, -2:] = 2
    ids[0, batch.attention[0]] = torch.tensor([0] * 3 + [1] * (int(batch.lengths[0]) - 5) + [2, 2])
    return replace(batch, spans=("name", "S1+1", "end"), span_ids=ids)
