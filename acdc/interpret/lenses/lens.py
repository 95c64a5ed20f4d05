"""What a lens is: how the residual stream of a layer is turned into one that the unembedding can read."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

__all__ = ["LOGIT_LENS", "Lens"]

Translate = Callable[[int, Float[Tensor, "row d_model"]], Float[Tensor, "row d_model"]]


@dataclass(frozen=True)
class Lens:
    """A lens.

    Attributes:
        kind: `logit lens` or `tuned lens`.
        translate: From a layer and its `resid_pre` to a residual stream for the final norm and the unembedding. The
            last residual stream needs none.
        between: Whether it reads `resid_mid` too.
    """

    kind: str
    translate: Translate
    between: bool = False


LOGIT_LENS = Lens("logit lens", lambda layer, resid: resid, between=True)
