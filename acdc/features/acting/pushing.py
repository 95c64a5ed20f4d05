"""A run of the model in which one feature is pushed; what the dictionary doesn't reconstruct stays as it is.

    add:    x' = x + a W_dec[i]
    clamp:  x' = x + (c - f_i) W_dec[i]
    ablate: clamp at 0

The error x - x^ is kept, since only the change is added: clamped at its own value, a feature changes nothing. It is
pushed at every token, the first one included.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import RunError
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, through_sites
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch

__all__ = ["Push", "pushed", "pushed_logits"]

ROWS = 32  # prompts that run at once


@dataclass(frozen=True)
class Push:
    """What is done to a feature.

    Attributes:
        kind: `add` or `clamp`.
        amount: What is added to it (`add`), or what it is set to (`clamp`), in the feature's own unit; of tokens'
            own, `[batch pos]`.
    """

    feature: int
    kind: str
    amount: float | Tensor

    @classmethod
    def ablate(cls, feature: int) -> "Push":
        """Set it to 0."""
        return cls(feature, "clamp", 0.0)

    def check(self, dictionary: Dictionary) -> None:
        """Raise `RunError` unless the dictionary has this feature and the push is of a known kind."""
        if not 0 <= self.feature < dictionary.n_features:
            raise RunError(
                f"feature {self.feature} is out of range: {dictionary.name!r} has {dictionary.n_features:,} features, "
                f"0 to {dictionary.n_features - 1}"
            )
        if self.kind not in ("add", "clamp"):
            raise RunError(f"a feature is pushed by 'add' or 'clamp', not {self.kind!r}")


@torch.no_grad()
def pushed(
    model: PatchableModel, dictionary: Dictionary, batch: PromptBatch, push: Push | Sequence[Push] | None
) -> Float[Tensor, "batch pos d_model"]:
    """The residual stream that the unembedding reads, of the clean prompts with a feature pushed; by None as they are.

    Of several, each one's change is that of the features as the model has them.

    Raises:
        ModelError: The dictionary is another model's.
        RunError: It has no such feature.
        TaskError: A prompt doesn't fit the model.
    """
    dictionary.check_fits(model)
    model.check_batch(batch)
    batch = batch.to(model.device)
    if push is None:
        return through_sites(model, batch, batch.clean, lambda _, x: x)
    pushes = [push] if isinstance(push, Push) else push
    for each in pushes:
        each.check(dictionary)
    visit = _Pushing(dictionary.to(model.device), pushes)
    return through_sites(model, batch, batch.clean, visit)


@torch.no_grad()
def pushed_logits(
    model: PatchableModel, dictionary: Dictionary, batch: PromptBatch, push: Push | Sequence[Push] | None
) -> Float[Tensor, "batch vocab"]:
    """The next token's logits in such a run, some prompts at a time; raises what `pushed` raises."""
    pieces = (batch.select(rows.tolist()) for rows in torch.arange(batch.n).split(ROWS))
    return torch.cat([model.unembed(pushed(model, dictionary, piece, push)[:, -1]) for piece in pieces])


class _Pushing:
    """Reads the features where the dictionary reads, and adds their changes where it writes."""

    def __init__(self, dictionary: Dictionary, pushes: Sequence[Push]) -> None:
        self.dictionary, self.pushes = dictionary, pushes
        self.changes: Float[Tensor, "batch pos k"] | None = None

    def __call__(self, site: Site, x: Float[Tensor, "batch pos width"]) -> Float[Tensor, "batch pos width"]:
        which = torch.tensor([push.feature for push in self.pushes], device=x.device)
        if site == self.dictionary.reads:
            features = self.dictionary.encode(x.to(self.dictionary.encoder))[..., which].unbind(-1)
            pairs = zip(self.pushes, features, strict=True)
            self.changes = torch.stack([_change(push, feature) for push, feature in pairs], -1)
        if site not in self.dictionary.writes:
            return x
        assert self.changes is not None, "a dictionary reads before it writes"
        return x + (self.changes @ self.dictionary.directions(which, site=site).to(self.changes)).to(x)


def _change(push: Push, feature: Float[Tensor, "batch pos"]) -> Float[Tensor, "batch pos"]:
    amount = torch.as_tensor(push.amount).to(feature)
    return amount - feature if push.kind == "clamp" else amount.expand_as(feature)
