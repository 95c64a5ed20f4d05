"""Training a tuned lens: each layer's map learns to say what the model says in the end.

    loss_l = mean over tokens of KL(model || unembed(norm(translate_l(resid_pre_l)))),    summed over the layers

The published recipe: SGD with Nesterov momentum of 0.9, a learning rate of 0.1 that falls linearly to 0, weight decay
of 0.001 (towards the logit lens), gradients clipped to a norm of 1, 250 steps. Theirs take 2^18 tokens each, more than
a CPU can: the number of tokens is an option.

Reference: Belrose et al. 2023 (arXiv 2303.08112), section 3 and appendix; the code of AlignmentResearch/tuned-lens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import kl_div

from acdc.errors import RunError
from acdc.interpret.lenses.lens import LOGIT_LENS, Lens
from acdc.interpret.lenses.reading import read_lens
from acdc.interpret.lenses.training_state import TrainingState
from acdc.interpret.lenses.tuned import TunedLens, translated
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY, SEED
from acdc.patching.activations import ActivationCache, run
from acdc.patching.frozen import frozen
from acdc.progress.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STEPS", "TOKENS", "LensTraining", "train_tuned_lens"]

STEPS, TOKENS = 250, 1024
MOMENTUM, WEIGHT_DECAY, LARGEST_NORM = 0.9, 1e-3, 1.0
LEARNING_RATE = 1 - MOMENTUM
COPIES = 8  # tensors of a vocabulary's size that one token needs at once


@dataclass(frozen=True)
class LensTraining:
    """A trained lens, and how near it and the logit lens come to the model's own output on text held out.

    Attributes:
        before, after: Mean KL of the model's output from the logit lens's and from the tuned lens's, in nats a token,
            at each layer.
        n_tokens: Tokens trained on, repeats included; `n_held_out` those that the two are measured on.
    """

    lens: TunedLens
    before: Float[Tensor, " layer"]
    after: Float[Tensor, " layer"]
    n_tokens: int
    n_held_out: int

    def frame(self) -> "pd.DataFrame":
        """One row a layer: `layer`, `logit_lens`, `tuned_lens`."""
        import pandas as pd

        columns = {"logit_lens": self.before.tolist(), "tuned_lens": self.after.tolist()}
        return pd.DataFrame({"layer": range(len(self.before)), **columns})


def train_tuned_lens(
    model: PatchableModel,
    texts: PromptBatch,
    held_out: PromptBatch,
    *,
    steps: int = STEPS,
    tokens: int = TOKENS,
    seed: int = SEED,
    keep: Path | None = None,
    progress: Tell | None = None,
) -> LensTraining:
    """Train a lens on the clean side of some prompts, or on windows of text (`acdc.interpret.lenses.windows`).

    Args:
        held_out: Other ones, on which it is judged.
        tokens: About how many each step takes.
        seed: Of the order in which prompts are taken.
        keep: A folder where a stopped training is kept, to go on from there with the same arguments.

    Raises:
        RunError: `steps` or `tokens` is below 1.
        TaskError: A prompt doesn't fit the model.
    """
    if min(steps, tokens) < 1:
        raise RunError(f"steps and tokens must be at least 1, not {steps} and {tokens}")
    for batch in (texts, held_out):
        model.check_batch(batch)
    texts, held_out = texts.to(model.device), held_out.to(model.device)
    zero = TunedLens.zero(model)
    maps = _Maps([*zero.weight.clone().unbind()], [*zero.bias.clone().unbind()], steps)
    state = TrainingState.of(keep, model, texts, steps, tokens, seed)
    first = state.restore(maps.parameters, maps.optimizer)
    seen = 0
    with frozen(model):
        for step, rows in enumerate(_draws(texts, tokens, seed, steps)):
            seen += int(texts.lengths[rows].sum())
            if step < first:
                continue
            if progress is not None:
                progress(Progress(step, steps, stage="tuned lens", unit="steps"))
            maps.step(model, texts.select(rows), step)
            state.keep(step + 1, maps.parameters, maps.optimizer)
    lens = TunedLens(
        torch.stack(maps.weights).detach(),
        torch.stack(maps.biases).detach(),
        zero.base,
        zero.revision,
        zero.unembed_hash,
    )
    before, after = (_held_out_kl(model, held_out, each, progress) for each in (LOGIT_LENS, lens.of(model)))
    state.remove()
    return LensTraining(lens, before, after, seen, int(held_out.attention.sum()))


class _Maps:
    """The layers' maps while they are trained, each a tensor of its own, so that one layer's gradient is only its own.

    Attributes:
        parameters: Of all layers: weights, then biases.
    """

    def __init__(self, weights: list[Tensor], biases: list[Tensor], steps: int) -> None:
        self.weights = [weight.clone().requires_grad_() for weight in weights]
        self.biases = [bias.clone().requires_grad_() for bias in biases]
        self.parameters, self.steps = [*self.weights, *self.biases], steps
        self.optimizer = torch.optim.SGD(
            self.parameters, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
        )

    def step(self, model: PatchableModel, batch: PromptBatch, step: int) -> None:
        """One step on some prompts; their gradients are summed up over as many tokens at a time as fit."""
        cache, n = run(model, batch, batch.clean), int(batch.attention.sum())
        for where in _tokens(batch, len(model.components.unembed)):
            self._add_gradients(model, cache, where, n)
        torch.nn.utils.clip_grad_norm_(self.parameters, LARGEST_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / self.steps)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _add_gradients(self, model: PatchableModel, cache: ActivationCache, where: Int[Tensor, "n 2"], n: int) -> None:
        prompts, columns = where.unbind(1)
        with torch.no_grad():
            final = wide(model.unembed(cache.final[prompts, columns])).log_softmax(-1)
        for weight, bias, resid in zip(self.weights, self.biases, cache.resid_pre, strict=True):
            with torch.enable_grad():
                said = wide(model.unembed(translated(weight, bias, resid[prompts, columns]))).log_softmax(-1)
                (kl_div(said, final, reduction="sum", log_target=True) / n).backward()


def _tokens(batch: PromptBatch, n_vocab: int) -> tuple[Int[Tensor, "n 2"], ...]:
    """The batch's tokens, prompt and column of each, in parts that fit into memory."""
    return batch.attention.nonzero().split(max(1, MEMORY // (COPIES * n_vocab * 4)))


def _draws(texts: PromptBatch, tokens: int, seed: int, steps: int) -> Iterator[list[int]]:
    """Which prompts each step takes: all in a random order, again and again."""
    draw, waiting, lengths = torch.Generator().manual_seed(seed), list[int](), texts.lengths.tolist()
    for _ in range(steps):
        rows, n = list[int](), 0
        while n < tokens:
            waiting = waiting or torch.randperm(texts.n, generator=draw).tolist()
            rows.append(waiting.pop())
            n += lengths[rows[-1]]
        yield rows


def _held_out_kl(
    model: PatchableModel, batch: PromptBatch, lens: Lens, progress: Tell | None
) -> Float[Tensor, " layer"]:
    kl = read_lens(model, batch, lens=lens, top=1, progress=progress).kl[:-1]
    return kl[:, batch.attention].double().mean(1)
