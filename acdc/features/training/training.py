"""Training dictionaries: several at once, of one site or many, so that the model runs only once for all of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from acdc.errors import RunError
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, width_of
from acdc.features.training.course import Course, Keeper
from acdc.features.training.learner import Learner, Step
from acdc.features.training.place import Place, places_of
from acdc.features.training.recipe import Recipe
from acdc.features.training.stream import Stream
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.patching.frozen import frozen
from acdc.progress.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BATCH", "BUFFER", "DictionaryTraining", "fingerprint", "train_dictionaries"]

BATCH, BUFFER = 1024, 2**15  # tokens
COPIES = 4  # of a weight: itself, its gradient, and the optimizer's two moments
COLUMNS = ("step", *Step._fields)


@dataclass(frozen=True)
class DictionaryTraining:
    """A trained dictionary, and how its training went.

    Attributes:
        history: A row each some steps: the step, and what `Step` names, of that step's batch.
        n_tokens: Trained on, repeats included; `n_text` those that the text has.
    """

    dictionary: Dictionary
    recipe: Recipe
    history: Tensor
    n_tokens: int
    n_text: int

    def frame(self) -> "pd.DataFrame":
        """The history: `step`, `loss`, `l0`, `explained_variance`, `dead`."""
        import pandas as pd

        return pd.DataFrame(self.history.numpy(), columns=list(COLUMNS)).astype({"step": int})


def train_dictionaries(
    model: PatchableModel,
    texts: PromptBatch,
    recipes: Sequence[Recipe],
    *,
    reads: Site | Sequence[Site],
    writes: Site | Sequence[Site] | None = None,
    steps: int,
    batch: int = BATCH,
    buffer: int = BUFFER,
    seed: int = SEED,
    keep: Keeper | None = None,
    progress: Tell | None = None,
) -> tuple[DictionaryTraining, ...]:
    """Train dictionaries on what sites of a model hold on the clean side of some prompts, or on windows of text.

    Args:
        recipes: At each of the sites, a dictionary is trained by each.
        reads: What is read: a site, or several.
        writes: What transcoders are to write, as many; None, or `reads`, of SAEs.
        steps: Of `batch` tokens each.
        buffer: Tokens that are shuffled together, and held in memory.
        seed: Of the first weights and of the order of the tokens.
        keep: Where a stopped training is kept, to go on from there to the same weights, bit for bit.

    Returns:
        Those of the first site, as the recipes come, then those of the next.

    Raises:
        RunError: `steps`, `batch` or `buffer` is below 1, or an SAE is to have a skip connection.
        ModelError: The model has no such site, or a transcoder would write before it reads.
        TaskError: The texts have fewer tokens than a batch, or don't fit the model.
    """
    if min(steps, batch, buffer) < 1:
        raise RunError(f"steps, batch and buffer must be at least 1, not {steps}, {batch} and {buffer}")
    jobs = [(place, recipe) for place in places_of(model, reads, writes) for recipe in recipes]
    if any(place.is_sae and recipe.skip for place, recipe in jobs):
        raise RunError("an SAE with a skip connection would copy what it reads; name what a transcoder writes (writes)")
    model.check_batch(texts)
    sites = tuple(sorted({site for place, _ in jobs for site in (place.reads, place.writes)}))
    with frozen(model):
        stream = Stream(model, texts, sites, batch=batch, buffer=buffer, seed=seed, progress=progress)
        if progress is not None:
            progress(Progress(0, 0, stage="training", note=_memory(model, stream, jobs)))
        state = None if keep is None else keep.read()
        learners = _begun(jobs, stream.few() if state else stream.first(), steps, seed)
        course = Course.of(learners, [place for place, _ in jobs], steps, state)
        course.run(stream, keep, progress)
    rows = torch.tensor(course.history, dtype=torch.float64)
    return tuple(
        DictionaryTraining(
            learner.dictionary(str(place), place.reads, place.writes, model.name),
            recipe,
            rows[:, i],
            steps * batch,
            stream.n_tokens,
        )
        for i, (learner, (place, recipe)) in enumerate(zip(learners, jobs, strict=True))
    )


def _begun(jobs: Sequence[tuple[Place, Recipe]], first: Mapping[Site, Tensor], steps: int, seed: int) -> list[Learner]:
    """The dictionaries as they start, by the first fill."""
    return [Learner(recipe, *place.of(first), steps=steps, seed=seed) for place, recipe in jobs]


def _memory(model: PatchableModel, stream: Stream, jobs: Sequence[tuple[Place, Recipe]]) -> str:
    """What is held beside the model: a fill, and of each dictionary weights, gradients and two moments."""
    widths = ((width_of(model, place.reads) + width_of(model, place.writes)) * recipe.width for place, recipe in jobs)
    told = f"{_size(stream.size)} of activations and {_size(COPIES * stream.itemsize * sum(widths))} of weights"
    return f"{len(jobs)} dictionar{'y' if len(jobs) == 1 else 'ies'}, about {told} in memory"


def _size(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"


def fingerprint(model: PatchableModel, texts: PromptBatch, recipes: Sequence[Recipe], *rest: object) -> str:
    """What names a training: with equal ones a state can be gone on from."""
    told = (model.name, model.revision, str(model.dtype), texts.fingerprint, tuple(recipes), *rest)
    return hashlib.sha256(repr(told).encode()).hexdigest()
