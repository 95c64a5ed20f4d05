"""Files as other tools write them, with random weights."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

D, N = 16, 24
X = torch.randn(3, 5, D, generator=torch.Generator().manual_seed(9))


def drawn(seed: int, **shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Random tensors of these shapes."""
    draw = torch.Generator().manual_seed(seed)
    return {name: 0.5 * torch.randn(*shape, generator=draw) for name, shape in shapes.items()}


def saelens_tensors(architecture: str, *, d_out: int = D, seed: int = 0) -> dict[str, Tensor]:
    """What SAELens's classes hold."""
    found = drawn(seed, W_enc=(D, N), W_dec=(N, d_out), b_dec=(d_out,))
    if architecture == "gated":
        return found | drawn(seed + 1, b_gate=(N,), b_mag=(N,), r_mag=(N,))
    found |= drawn(seed + 1, b_enc=(N,))
    if "jumprelu" in architecture:
        found |= {"threshold": drawn(seed + 2, threshold=(N,))["threshold"].abs()}
    return found | (drawn(seed + 3, W_skip=(d_out, D)) if "skip" in architecture else {})


def write_saelens(
    folder: Path, architecture: str, *, d_out: int = D, seed: int = 0, **config: Any
) -> dict[str, Tensor]:
    """A folder as SAELens 6 saves it; the tensors."""
    tensors = saelens_tensors(architecture, d_out=d_out, seed=seed)
    is_transcoder = "transcoder" in architecture
    written = {
        "d_in": D,
        "d_sae": N,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": not is_transcoder,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": "gpt2-small",
            "hook_name": "blocks.1.mlp.hook_in" if is_transcoder else "blocks.1.hook_resid_post",
            **({"hook_name_out": "blocks.1.hook_mlp_out"} if is_transcoder else {}),
            "context_size": 128,
        },
        **({"k": 5, "rescale_acts_by_decoder_norm": False} if architecture == "topk" else {}),
        **({"d_out": d_out} if is_transcoder else {}),
        "architecture": architecture,
        **config,
    }
    write_folder(folder, {"cfg.json": written}, {"sae_weights.safetensors": tensors})
    return tensors


def write_folder(folder: Path, configs: dict[str, Any], tensors: dict[str, dict[str, Tensor]]) -> None:
    """A folder with these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, config in configs.items():
        (folder / name).write_text(json.dumps(config))
    for name, found in tensors.items():
        save_file({key: value.contiguous() for key, value in found.items()}, folder / name)
