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
from acdc.options.defaults import N_CONTINUED
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_batch

__all__ = ["Push", "continued_text", "pushed", "pushed_logits"]

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
        return x + (self.changes @ self.dictionary.directions(which, site=site)).to(x)


def _change(push: Push, feature: Float[Tensor, "batch pos"]) -> Float[Tensor, "batch pos"]:
    amount = torch.as_tensor(push.amount).to(feature)
    return amount - feature if push.kind == "clamp" else amount.expand_as(feature)


def continued_text(
    model: PatchableModel,
    dictionary: Dictionary,
    prompt: str,
    push: Push | None,
    *,
    n_tokens: int = N_CONTINUED,
    bos: bool | None = None,
) -> str:
    """What the model goes on to say, the most probable token each time, with a feature pushed at every token.

    Each token takes a run of the whole text. It ends before the model's end-of-text token, or where the context ends.

    Raises:
        RunError: `n_tokens` isn't positive, or the dictionary has no such feature.
        TaskError: The prompt is empty, or doesn't fit the model.
        ModelError: The dictionary is another model's.
    """
    if n_tokens < 1:
        raise RunError(f"at least 1 token must be asked for, not {n_tokens}")
    ids = text_batch([prompt], model.tokenizer, bos=bos, name="prompt").clean
    start, end = ids.shape[1], getattr(model.tokenizer, "eos_token_id", None)
    room = n_tokens if model.n_context is None else min(n_tokens, model.n_context - start + 1)
    for _ in range(room):
        none = ids.new_empty(1, 0)
        batch = PromptBatch(ids, ids, torch.ones_like(ids, dtype=torch.bool), none, none, task="prompt")
        final = pushed(model, dictionary, batch, push)
        token = model.unembed(final[:, -1]).argmax(-1).cpu()
        if int(token) == end:
            break
        ids = torch.cat([ids, token[:, None]], 1)
    return str(model.tokenizer.decode(ids[0, start:].tolist()))
