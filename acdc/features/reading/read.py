"""Reading the features of a dictionary on a text."""

import hashlib
from typing import Any

import numpy as np
import torch

from acdc.errors import ModelError, RunError, TaskError
from acdc.features.dictionary import Dictionary
from acdc.features.reading.record import About, Examples, FeatureReading
from acdc.features.reading.slices import look_again
from acdc.features.reading.tally import tally
from acdc.features.reading.weights import Ranked, neighbours, written_logits
from acdc.features.site_values import SKIP, behind_first
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.progress.progress import Tell, announce
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import pieces
from acdc.version import __version__

__all__ = ["features_hash", "read_features"]

N_PROBES = 200  # random slices of which those are taken in which a feature is silent


@torch.no_grad()
def read_features(
    model: PatchableModel,
    dictionary: Dictionary,
    corpus: PromptBatch,
    *,
    skip: int = SKIP,
    seed: int = SEED,
    progress: Tell | None = None,
) -> FeatureReading:
    """Read all features of a dictionary on a text, of which only a running top-k is kept.

    The text is run once. Only where its activations are too many to be remembered, later windows that were chosen run a
    second time for what stands around them.

    Args:
        corpus: Windows of the text (`windows_of`), or a task's prompts.
        skip: How many first tokens of a window aren't counted.
        seed: Of which random examples are taken.

    Raises:
        ModelError: The dictionary is another model's, or holds NaN.
        TaskError: A window is longer than the model's context, or no token is counted.
        RunError: `skip` is negative.
    """
    dictionary.check_fits(model)
    _check_finite(dictionary)
    if skip < 0:
        raise RunError(f"skip must be a number of tokens, 0 or more, not {skip}")
    model.check_batch(corpus)
    seen = behind_first(corpus, skip)
    if not bool(seen.any()):
        raise TaskError(f"{corpus.task!r} has no window of more than {skip} token(s), and those are not counted")
    dictionary = dictionary.to(model.device)
    order = np.random.default_rng(seed).permutation(corpus.n * corpus.n_pos)
    found = tally(model, dictionary, corpus, seen, order, tell=progress)
    probes = _probes(seen.numpy(), order)
    chosen = (found.top.where, found.examples.where)
    acts, active = look_again(model, dictionary, corpus, seen, chosen, probes, found.kept, tell=progress)
    announce(progress, "logits and neighbours")
    raises, lowers = written_logits(model, dictionary)
    ids = corpus.clean.masked_fill(~corpus.attention, -1).int().numpy()
    about = About(
        dictionary=dictionary.name,
        dictionary_sha256=features_hash(dictionary),
        site=str(dictionary.reads),
        model=model.name,
        corpus=corpus.task,
        corpus_sha256=corpus.fingerprint,
        n_windows=corpus.n,
        n_tokens=int(seen.sum()),
        skip=skip,
        seed=seed,
        made_with=__version__,
    )
    return FeatureReading(
        about=about,
        ids=ids,
        histogram=found.histogram,
        total=found.total,
        top=Examples(found.top.where, acts[0]),
        examples=Examples(found.examples.where, acts[1]),
        fired=found.fired.where,
        probes=probes,
        active=active,
        raises=raises,
        lowers=lowers,
        near=neighbours(dictionary),
        names=_names(model.tokenizer, ids, raises, lowers),
    )


def features_hash(dictionary: Dictionary) -> str:
    """SHA-256 of what decides its features: where it reads, its encoder, and its activation."""
    digest = hashlib.sha256(f"{dictionary.reads} {dictionary.takes_off_b_dec}".encode())
    tensors = [dictionary.encoder, dictionary.b_enc, dictionary.b_dec]
    tensors += [each for each in vars(dictionary.activation).values() if isinstance(each, torch.Tensor)]
    plain = {name: each for name, each in vars(dictionary.activation).items() if not isinstance(each, torch.Tensor)}
    digest.update(f"{type(dictionary.activation).__name__} {sorted(plain.items())}".encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_finite(dictionary: Dictionary) -> None:
    for name in ("encoder", "b_enc", "b_dec"):
        if not bool(getattr(dictionary, name).isfinite().all()):
            raise ModelError(f"dictionary {dictionary.name!r} can't be used: its {name} holds NaN or infinite numbers")


def _probes(seen: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Random tokens, one a window, of at most so many windows: those that come last in the order."""
    late = np.where(seen, order.reshape(seen.shape), -1)
    best = late.argmax(1)
    rows = np.flatnonzero(seen.any(1))
    chosen = rows[np.argsort(-late[rows, best[rows]])][:N_PROBES]
    return chosen * seen.shape[1] + best[chosen]


def _names(tokenizer: Any, ids: np.ndarray, raises: Ranked, lowers: Ranked) -> dict[int, str]:
    known = np.unique(np.concatenate([ids[ids >= 0], raises.which.ravel(), lowers.which.ravel()])).tolist()
    return dict(zip(known, pieces(tokenizer, known), strict=True))
