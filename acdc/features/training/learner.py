"""One dictionary that is being trained: its weights, its optimizer, and what is watched."""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site
from acdc.features.training.recipe import Recipe, learning_rate, rate_at, warmth_at
from acdc.features.training.revival import WEIGHT, auxk
from acdc.features.training.variants import VARIANTS
from acdc.features.training.weights import Weights, folded

__all__ = ["Learner", "Step"]

LARGEST_NORM = 1.0
MOMENTS = ("exp_avg", "exp_avg_sq")


class Step(NamedTuple):
    """What a step's batch says: the loss, features a token, shares of variance explained and of dead features."""

    loss: float
    l0: float
    explained_variance: float
    dead: float


class Learner:
    """Learns from batches.

    Args:
        x, y: Tokens to begin with, what is read and what is written, as the model has them; `y` is None of an SAE.
        steps: How many there will be.
    """

    def __init__(
        self,
        recipe: Recipe,
        x: Float[Tensor, "tokens d_in"],
        y: Float[Tensor, "tokens d_out"] | None,
        *,
        steps: int,
        seed: int,
    ) -> None:
        self.recipe, self.variant, self.steps = recipe, VARIANTS.find(recipe.variant), steps
        self.scales = torch.stack([_unit_scale(x), _unit_scale(x if y is None else y)])
        into, out = self.scales
        self.weights = Weights.start(
            x * into, None if y is None else y * out, recipe.width, skip=recipe.skip, seed=seed
        )
        if self.variant.thresholds != "none":
            shape = (recipe.width,) if self.variant.thresholds == "each" else ()
            self.weights = replace(self.weights, threshold=x.new_full(shape, self.variant.threshold))
        self.silent = torch.zeros(recipe.width, dtype=torch.long, device=x.device)  # tokens since a feature was on
        names = [name for name in self.weights.tensors() if name != "threshold" or self.variant.thresholds == "each"]
        self.trained = {name: self.weights.tensors()[name].requires_grad_() for name in names}
        self.optimizer = torch.optim.Adam([*self.trained.values()], lr=1.0, betas=self.variant.betas)

    def step(self, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"] | None, step: int) -> Step:
        """Learn from one batch."""
        into, out = self.scales
        x, y = x * into, (x * into if y is None else y * out)
        with torch.enable_grad():
            pre = self.weights.pre(x)
            features = self.variant.choose(self.weights, pre, self.recipe.k)
            left = y - self.weights.written(features, x)
            loss = self.variant.error(self.weights, features, x, y, left)
            loss = loss + self._added(pre, left.detach(), warmth_at(step, self.steps))
            self.optimizer.zero_grad()
            loss.backward()
        self._update(step)
        return self._watch(loss.item(), features.detach(), y, left.detach())

    def _added(self, pre: Tensor, left: Tensor, warmth: float) -> Tensor | float:
        """What the loss has beside the error: the variant's penalty, and what revives dead features."""
        penalty = self.variant.penalty(self.weights, pre, self.recipe.k, warmth)
        revived = auxk(self.weights, pre, left, self._dead)
        return (0.0 if penalty is None else penalty) + (0.0 if revived is None else WEIGHT * revived)

    @torch.no_grad()
    def _watch(self, loss: float, features: Tensor, y: Tensor, left: Tensor) -> Step:
        """Count which features are on, and say how the batch went."""
        on = features > 0
        self.variant.observe(self.weights, features)
        self.silent = torch.where(on.any(0), 0, self.silent + len(y))
        unexplained = left.square().sum() / (y - y.mean(0)).square().sum()
        l0, dead = on.sum(1).double().mean(), self._dead.double().mean()
        return Step(loss, l0.item(), 1 - unexplained.item(), dead.item())

    @property
    def _dead(self) -> Tensor:
        return self.silent >= self.recipe.dead_after

    def _update(self, step: int) -> None:
        self.weights.drop_parallel_gradient()
        torch.nn.utils.clip_grad_norm_([*self.trained.values()], LARGEST_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe) * rate_at(step, self.steps)
        self.optimizer.step()
        self.weights.unit_rows()

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on."""
        found = {name: tensor.detach().clone() for name, tensor in self.weights.tensors().items()}
        for name, tensor in self.trained.items():
            kept = self.optimizer.state.get(tensor, {})
            found |= {f"{name}.{moment}": kept[moment].clone() for moment in (*MOMENTS, "step") if moment in kept}
        return found | {"silent": self.silent.clone(), "scales": self.scales.clone()}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        for name, tensor in self.weights.tensors().items():
            tensor.copy_(state[name])
        for name, tensor in self.trained.items():
            kept = {moment: state[f"{name}.{moment}"].to(tensor) for moment in MOMENTS}
            self.optimizer.state[tensor] = kept | {"step": state[f"{name}.step"].clone()}
        self.silent, self.scales = state["silent"].to(self.silent), state["scales"].to(self.scales)

    def dictionary(self, name: str, reads: Site, writes: Site, model: str) -> Dictionary:
        """The dictionary as it is now, for activations as the model has them."""
        into, out = self.scales.tolist()
        found = folded(self.weights, into, out)
        return Dictionary(
            name,
            reads,
            (writes,),
            found["encoder"],
            found["b_enc"],
            found["decoder"][:, None],
            found["b_dec"][None],
            self.variant.activation(self.recipe.k, found.get("threshold")),
            takes_off_b_dec=self.weights.takes_off_b_dec,
            skip=found.get("skip"),
            model=model,
        )


def _unit_scale(x: Float[Tensor, "tokens d"]) -> Float[Tensor, ""]:
    """What makes the mean squared norm 1."""
    return x.square().sum(1).mean().rsqrt()
