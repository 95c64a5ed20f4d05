"""What makes two runs the same: hashes of weights, tokenizer and configuration, versions, and their fingerprint."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from acdc.features.dictionary import Dictionary
from acdc.models import PatchableModel
from acdc.models.offload import loaded_weight
from acdc.version import __version__

__all__ = ["HASHED", "dictionary_hash", "fingerprint", "model_identity", "run_fingerprint", "versions"]

HASHED = {"weights_sha256": "weights", "config_sha256": "configuration", "tokenizer_sha256": "tokenizer"}
# what only says where something comes from: hashes of weights, tokenizer, configuration and prompts say what it is
SPELLINGS = {"arguments": ("model", "task", "revision", "device_map"), "model": ("name", "revision")}


def fingerprint(parts: Mapping[str, Any]) -> str:
    """SHA-256 of what JSON says of `parts`, whatever the order of their keys."""
    return _sha256(json.dumps(parts, sort_keys=True, default=str))


def run_fingerprint(identity: Mapping[str, Any]) -> str:
    """The fingerprint of a run, whatever its model and its task are called and wherever they lie.

    Args:
        identity: `arguments`, `model` (hashes) and whatever else decides the result.
    """
    own = {
        group: {key: value for key, value in identity[group].items() if key not in names}
        for group, names in SPELLINGS.items()
    }
    return fingerprint({**identity, **own})


def model_identity(model: PatchableModel) -> dict[str, Any]:
    """What the model is: its name, family and shape, and hashes of all that decides what it computes."""
    graph, config = model.graph, model.hf.config.to_dict()
    for place in ("_name_or_path", "_commit_hash", "transformers_version"):
        config.pop(place, None)
    return {
        "name": model.name,
        "revision": model.revision,
        "model_type": model.hf.config.model_type,
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "d_model": graph.d_model,
        "n_parameters": sum(parameter.numel() for parameter in model.hf.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "weights_sha256": _weights_hash(model.hf),
        "config_sha256": fingerprint(config),
        "tokenizer_sha256": _tokenizer_hash(model.tokenizer),
    }


def dictionary_hash(dictionary: Dictionary) -> str:
    """SHA-256 of all that decides what a dictionary encodes and decodes."""
    activation = vars(dictionary.activation)
    tensors = {name: each for name, each in activation.items() if isinstance(each, torch.Tensor)}
    own = {name: getattr(dictionary, name) for name in ("encoder", "b_enc", "b_dec", "skip")}
    tensors |= own | {"decoder": dictionary.decoder[:]}
    plain = {name: each for name, each in activation.items() if name not in tensors}
    told = (dictionary.reads, dictionary.writes, dictionary.takes_off_b_dec, dictionary.normalization)
    digest = hashlib.sha256(f"{told} {type(dictionary.activation).__name__} {sorted(plain.items())}".encode())
    for name, tensor in sorted(tensors.items()):
        if tensor is not None:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of the program and of what its numbers come from."""
    libraries = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    return {"acdc": __version__, "python": platform.python_version(), **libraries}


def _weights_hash(hf: torch.nn.Module) -> str:
    """SHA-256 of all parameters and buffers, as loaded: in the dtype of the run."""
    digest = hashlib.sha256()
    for name, tensor in (*hf.named_parameters(), *hf.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole = loaded_weight(hf, name, tensor).detach().to("cpu", tensor.dtype)
        digest.update(whole.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of a fast tokenizer's whole definition; of a slow one's class and vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return _sha256(backend.to_str())
    vocabulary = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else len(tokenizer)
    return _sha256(type(tokenizer).__name__ + json.dumps(vocabulary, sort_keys=True, default=str))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
