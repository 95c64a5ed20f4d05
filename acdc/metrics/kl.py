"""KL divergence of the circuit from the full model."""

from collections.abc import Callable

import torch
from torch import Tensor

from acdc.metrics.answers import wide
from acdc.metrics.metric import Answers, Logits, Metric, Values

__all__ = ["METRIC"]


def kl(logits: Logits, correct: Answers, wrong: Answers, reference: Logits) -> Values:
    """KL(reference ‖ logits) = log E_p[exp(x)], with x = δ - E_p[δ], δ = logits - reference and p = softmax(reference).

    Written as log1p(E_p[expm1(x) - x]), which is the same since E_p[x] = 0: the linear terms, which cancel in the sum
    and are much larger than it where the two nearly agree, are gone before they are rounded.
    """
    return kl_against(reference)(logits)


def kl_against(reference: Logits) -> Callable[[Tensor], Tensor]:
    """`kl` from this reference, a function of the logits."""
    reference = wide(reference).T.contiguous().T  # as `PatchableModel.unembed` lays logits out
    p = reference.T.softmax(0).T

    def values(logits: Tensor) -> Tensor:
        logits = wide(logits)
        x = logits - reference
        mean = torch.linalg.vecdot(p, x)
        x.sub_(mean[:, None])
        exp = x.expm1()
        rest = exp - x if exp.requires_grad else exp.sub_(x)  # the backward pass of expm1 needs its result
        found = torch.linalg.vecdot(p, rest).log1p()
        if logits.device.type == "cpu" and bool(torch.isfinite(found).all()):  # elsewhere, to ask is to wait
            return found
        far = (reference.log_softmax(-1) + logits - reference).logsumexp(-1) - mean  # where expm1 overflows
        return torch.where(torch.isfinite(found), found, far)

    return values


METRIC = Metric(
    "kl",
    "KL divergence from the full model, in nats",
    kl,
    higher_is_better=False,
    flat_at_clean=True,
    whole_answers=True,
    against=kl_against,
)
