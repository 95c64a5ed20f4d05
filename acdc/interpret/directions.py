"""Directions of the residual stream: differences of class means, and what becomes of a run that loses or gains them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.evaluation.meaning import no_meaning
from acdc.evaluation.values import ROUNDING
from acdc.interpret.continued import continued, resid_at
from acdc.metrics import Objective
from acdc.patching.activations import run
from acdc.patching.problem import Problem

__all__ = ["ClassMeans", "Removal", "class_means"]

NOTHING = 1e-6  # of the largest: a singular value below is no direction


@dataclass(frozen=True)
class ClassMeans:
    """Means of the residual stream at one place, of the prompts of each class.

    Attributes:
        means: `[class d_model]`.
        centre: Their mean.
        basis: Orthonormal directions that span the differences of the means, `[direction d_model]`.
    """

    means: Float[Tensor, "class d_model"]
    centre: Float[Tensor, " d_model"]
    basis: Float[Tensor, "direction d_model"]

    def without(self, x: Float[Tensor, "*tokens d_model"]) -> Float[Tensor, "*tokens d_model"]:
        """`x - (x - centre) B^T B`: what tells the classes' means apart is the same in all."""
        return x - (x - self.centre) @ self.basis.T @ self.basis


def class_means(x: Float[Tensor, "prompt d_model"], classes: Int[np.ndarray, " prompt"]) -> ClassMeans:
    """Means and differences of prompts' vectors by class, each class counted alike."""
    which = torch.from_numpy(classes).to(x.device)
    means = torch.stack([x[which == i].mean(0) for i in sorted(set(classes.tolist()))])
    centre = means.mean(0)
    _, sizes, directions = torch.linalg.svd((means - centre).double(), full_matrices=False)
    return ClassMeans(means, centre, directions[sizes > NOTHING * sizes[0].clamp_min(1e-30)].to(x.dtype))


@dataclass(frozen=True)
class Removal:
    """What a problem's metric loses when directions are taken out of the clean run.

    Attributes:
        corrupted: The loss on the corrupted prompts.
        no_meaning: Why a share of the difference between the two sides means nothing; None where it means something.
    """

    problem: Problem
    corrupted: float
    no_meaning: str | None

    @classmethod
    def make(cls, problem: Problem) -> "Removal":
        """Run the corrupted prompts."""
        logits = run(problem.model, problem.batch, problem.batch.corrupt).logits
        sides = (_values(problem.objective, each) for each in (problem.clean.logits, logits))
        reason = no_meaning(*sides, rounding=ROUNDING[problem.model.dtype])
        return cls(problem, problem.loss(logits), reason)

    @torch.no_grad()
    def share(self, layer: int, columns: Int[Tensor, " batch"], removed: ClassMeans) -> float | None:
        """The share of the metric's difference that is lost without the directions before block `layer`.

        Args:
            columns: Where, in each prompt.
        """
        problem, start = self.problem, int(columns.min())
        x, each = resid_at(problem.clean, layer)[:, start:].clone(), torch.arange(len(columns))
        x[each, columns - start] = removed.without(x[each, columns - start])
        final = continued(problem.model, problem.batch, problem.clean, x, layer=layer)
        loss, clean = problem.loss(problem.model.unembed(final[:, -1])), problem.model_loss
        return None if self.no_meaning else (loss - clean) / (self.corrupted - clean)


def _values(objective: Objective, logits: Float[Tensor, "batch vocab"]) -> np.ndarray:
    """The metric of each prompt."""
    read = logits if objective.tokens is None else logits[:, objective.tokens]
    return objective.values(read).double().cpu().numpy()
