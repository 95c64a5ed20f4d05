"""How near what a dictionary writes comes to what it stands for, token by token."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.features.dictionary import Dictionary

__all__ = ["fvu", "reconstruction"]

ROWS = 1024  # tokens that are encoded at a time
OUTLYING = 10  # times the median norm, as dictionary_learning has it (`max_activation_norm_multiple`)


def reconstruction(
    dictionary: Dictionary, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
) -> dict[str, Any]:
    """The numbers of a `Fidelity` that need the site alone.

    Args:
        x, y: What is read, and what is to be written.
    """
    errors, cosine, norm = [], 0.0, 0.0
    on = torch.zeros(dictionary.n_features, dtype=torch.long, device=x.device)
    for here, there in zip(x.split(ROWS), y.split(ROWS), strict=True):
        features = dictionary.encode(here)
        made, there = dictionary.decode(features, here).double(), there.double()
        errors.append((there - made).square().sum(1))
        cosine += torch.cosine_similarity(made, there, dim=1).sum().item()
        norm += (made.norm(dim=1) / there.norm(dim=1).clamp_min(1e-12)).sum().item()
        on += (features > 0).sum(0)
    n, error, norms = len(x), torch.cat(errors), torch.linalg.vector_norm(y, dim=1, dtype=torch.float64)
    usual = norms <= OUTLYING * norms.median()
    return {
        "l0": on.sum().item() / n,
        "fvu": fvu(error, y),
        "fvu_usual": fvu(error[usual], y[usual]),
        "cosine": cosine / n,
        "norm": norm / n,
        "density": (on.double() / n).cpu(),
        "n_tokens": n,
        "n_outliers": n - int(usual.sum()),
    }


def fvu(error: Float[Tensor, " tokens"], y: Float[Tensor, "tokens d_out"]) -> float:
    """Share of the variance of `y` that squared errors leave; NaN where it has none."""
    mean = y.mean(0, dtype=torch.float64)
    variance = sum((part.double() - mean).square().sum().item() for part in y.split(ROWS))
    return error.sum().item() / variance if variance else float("nan")
