"""How a model goes on after a prompt while a feature is pushed, and how strange that is to the model itself."""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from acdc.errors import RunError
from acdc.features.acting.pushing import Push, pushed
from acdc.features.dictionary import Dictionary
from acdc.models import PatchableModel
from acdc.options.defaults import N_CONTINUED
from acdc.progress.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_batch

__all__ = ["Continued", "continued"]


class Continued(NamedTuple):
    """What follows a prompt.

    Attributes:
        surprise: Its mean negative log probability by the model as it is, in nats a token: what a push makes broken,
            and not just other, is far above what the model itself says. None where nothing follows.
    """

    text: str
    surprise: float | None


@torch.no_grad()
def continued(
    model: PatchableModel,
    dictionary: Dictionary,
    prompt: str,
    push: Push | None,
    *,
    n_tokens: int = N_CONTINUED,
    bos: bool | None = None,
    progress: Tell | None = None,
) -> Continued:
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
    for done in range(room):
        if progress is not None:
            progress(Progress(done, n_tokens, stage="texts", unit="tokens"))
        token = model.unembed(pushed(model, dictionary, _batch(ids), push)[:, -1]).argmax(-1).cpu()
        if int(token) == end:
            break
        ids = torch.cat([ids, token[:, None]], 1)
    text = str(model.tokenizer.decode(ids[0, start:].tolist()))
    return Continued(text, _surprise(model, dictionary, ids, start))


def _surprise(model: PatchableModel, dictionary: Dictionary, ids: Int[Tensor, "1 pos"], start: int) -> float | None:
    """Of the tokens from `start` on, in the model's own run of those before them."""
    if ids.shape[1] == start:
        return None
    said = ids[0, start:].to(model.device)
    log_p = model.unembed(pushed(model, dictionary, _batch(ids[:, :-1]), None)[0, start - 1 :]).double().log_softmax(-1)
    return float(-log_p.gather(-1, said[:, None]).mean())


def _batch(ids: Int[Tensor, "1 pos"]) -> PromptBatch:
    none = ids.new_empty(1, 0)
    return PromptBatch(ids, ids, torch.ones_like(ids, dtype=torch.bool), none, none, task="prompt")
