"""Training dictionaries: several of one site at once, so that the model runs only once for all of them."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from acdc.errors import ModelError, RunError
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site, sites_of, width_of
from acdc.features.training.learner import Learner, Step
from acdc.features.training.recipe import Recipe
from acdc.features.training.stream import Stream
from acdc.models import PatchableModel
from acdc.options.defaults import SEED
from acdc.patching.frozen import frozen
from acdc.progress.progress import Progress, Tell, roughly
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BATCH", "BUFFER", "DictionaryTraining", "Keeper", "fingerprint", "train_dictionaries"]

BATCH, BUFFER = 1024, 2**15  # tokens
EVERY = 60.0  # seconds between two times that the state is written
ROWS = 200  # of the table of a training
FORECAST = 3  # steps after which the cost is told
COLUMNS = ("step", *Step._fields)


@runtime_checkable
class Keeper(Protocol):
    """Where a stopped training is kept."""

    def read(self) -> dict[str, Tensor] | None:
        """What was kept; None where nothing was."""
        ...

    def write(self, state: Mapping[str, Tensor]) -> None:
        """Replace what is kept."""
        ...


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
    reads: Site,
    writes: Site | None = None,
    steps: int,
    batch: int = BATCH,
    buffer: int = BUFFER,
    seed: int = SEED,
    keep: Keeper | None = None,
    progress: Tell | None = None,
) -> tuple[DictionaryTraining, ...]:
    """Train dictionaries on what sites of a model hold on the clean side of some prompts, or on windows of text.

    Args:
        writes: What a transcoder is to write; None, or `reads`, of an SAE.
        steps: Of `batch` tokens each.
        buffer: Tokens that are shuffled together, and held in memory.
        seed: Of the first weights and of the order of the tokens.
        keep: Where a stopped training is kept, to go on from there to the same weights, bit for bit.

    Raises:
        RunError: `steps`, `batch` or `buffer` is below 1, or an SAE is to have a skip connection.
        ModelError: The model has no such site, or a transcoder would write before it reads.
        TaskError: The texts have fewer tokens than a batch, or don't fit the model.
    """
    if min(steps, batch, buffer) < 1:
        raise RunError(f"steps, batch and buffer must be at least 1, not {steps}, {batch} and {buffer}")
    writes = reads if writes is None else writes
    _check_sites(model, reads, writes, recipes)
    model.check_batch(texts)
    sites = (reads,) if writes == reads else (reads, writes)
    with frozen(model):
        stream = Stream(model, texts, sites, batch=batch, buffer=buffer, seed=seed, progress=progress)
        first = stream.first()
        learners = [Learner(recipe, first[0], _second(first), steps=steps, seed=seed) for recipe in recipes]
        done, history = _restore(learners, None if keep is None else keep.read())
        began = written = time.monotonic()
        for step, values in zip(range(done, steps), stream.batches(done), strict=False):
            found = [learner.step(values[0], _second(values), step) for learner in learners]
            if step % max(1, steps // ROWS) == 0 or step == steps - 1:
                history.append([[float(step), *each] for each in found])
            if progress is not None:
                progress(
                    _told(step, steps, found[-1], _cost(stream, step - done, steps - step, time.monotonic() - began))
                )
            if keep is not None and (now := time.monotonic()) - written > EVERY:
                keep.write(_state(learners, step + 1, history))
                written = now
    rows = torch.tensor(history, dtype=torch.float64)
    name = f"{reads}" if writes == reads else f"{reads} to {writes}"
    return tuple(
        DictionaryTraining(
            learner.dictionary(name, reads, writes, model.name),
            learner.recipe,
            rows[:, i],
            steps * batch,
            stream.n_tokens,
        )
        for i, learner in enumerate(learners)
    )


def fingerprint(model: PatchableModel, texts: PromptBatch, recipes: Sequence[Recipe], *rest: object) -> str:
    """What names a training: with equal ones a state can be gone on from."""
    told = (model.name, model.revision, str(model.dtype), texts.fingerprint, tuple(recipes), *rest)
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _check_sites(model: PatchableModel, reads: Site, writes: Site, recipes: Sequence[Recipe]) -> None:
    for site in (reads, writes):
        width_of(model, site)
    order = sites_of(model)
    if order.index(writes) < order.index(reads):
        raise ModelError(f"a transcoder can't read {reads} and write {writes}, which the model computes before it")
    if writes == reads and any(recipe.skip for recipe in recipes):
        raise RunError("an SAE with a skip connection would copy what it reads; name what a transcoder writes (writes)")


def _second(values: tuple[Tensor, ...]) -> Tensor | None:
    return values[1] if len(values) > 1 else None


def _cost(stream: Stream, n: int, left: int, seconds: float) -> str:
    """What is left to do will take about so long: said once, after a few steps."""
    if n + 1 != FORECAST:
        return ""
    return f"takes about {roughly(seconds / FORECAST * left + stream.seconds * stream.fills_of(left))}"


def _told(step: int, steps: int, last: Step, note: str) -> Progress:
    shares = f"explained variance {last.explained_variance:.1%}, dead {last.dead:.1%}"
    now = f"loss {last.loss:.4g}, L0 {last.l0:.1f}, {shares}"
    return Progress(step + 1, steps, stage="training", unit="steps", note=note, now=now)


def _state(learners: Sequence[Learner], step: int, history: Sequence[object]) -> dict[str, Tensor]:
    found = {f"{i}.{name}": value for i, each in enumerate(learners) for name, value in each.state().items()}
    return found | {"step": torch.tensor(step), "history": torch.tensor(history, dtype=torch.float64)}


def _restore(learners: Sequence[Learner], state: dict[str, Tensor] | None) -> tuple[int, list[list[list[float]]]]:
    """How many steps are done, and the rows so far."""
    if state is None:
        return 0, []
    for i, learner in enumerate(learners):
        mark = f"{i}."
        learner.restore({name.removeprefix(mark): value for name, value in state.items() if name.startswith(mark)})
    return int(state["step"]), state["history"].tolist()
