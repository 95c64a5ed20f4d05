"""A toy model of superposition, whose features are known, and which dictionaries find them.

64 features, each on with a probability of .05 and then of a size drawn from 0 to 1, have random directions in 16
dimensions (3.2 are on at a time). A transcoder reads them in these directions and writes them in others.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from acdc.features.sites import Site
from acdc.features.training import VARIANTS, Recipe
from acdc.features.training.learner import Learner

__all__ = ["Found", "Toy", "learned", "measured", "nearest", "rows"]

N, D, P = 64, 16, 0.05
BATCH, RATE, DEAD_AFTER = 256, 0.01, 38_400
TESTED = 20_000  # tokens


class Toy:
    """Sparse features, each with a direction of its own, in fewer dimensions."""

    def __init__(self, n: int = N, d: int = D, p: float = P) -> None:
        self.draw, self.p = torch.Generator().manual_seed(0), p
        self.directions = normalize(torch.randn(n, d, generator=self.draw), dim=1)
        self.written = normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(1)), dim=1)

    def batch(self, n: int) -> Float[Tensor, "tokens d"]:
        """Tokens as an SAE reads and writes them."""
        return self.features(n) @ self.directions

    def pair(self, n: int) -> tuple[Float[Tensor, "tokens d"], Float[Tensor, "tokens d"]]:
        """Tokens as a transcoder reads them, and as it is to write them."""
        features = self.features(n)
        return features @ self.directions, features @ self.written

    def features(self, n: int) -> Float[Tensor, "tokens n"]:
        """How strongly each feature is there."""
        on = torch.rand(n, len(self.directions), generator=self.draw) < self.p
        return on * torch.rand(on.shape, generator=self.draw)

    def recovered(self, learner: Learner) -> float:
        """The mean over its directions of the cosine with the nearest row of the decoder."""
        return nearest(self.directions, learner.weights.decoder.detach())


def nearest(directions: Float[Tensor, "n d"], decoder: Float[Tensor, "k d"]) -> float:
    """Mean max cosine: over directions, of the cosine with the nearest row of a decoder."""
    return (directions @ normalize(decoder, dim=1).T).max(1).values.mean().item()


def learned(toy: Toy, recipe: Recipe, steps: int, batch: int, *, transcoder: bool = False) -> Learner:
    """A dictionary that was trained on a toy."""

    def draw(n: int) -> tuple[Tensor, Tensor | None]:
        return toy.pair(n) if transcoder else (toy.batch(n), None)

    learner = Learner(recipe, *draw(4096), steps=steps, seed=1)
    for step in range(steps):
        learner.step(*draw(batch), step)
    return learner


@dataclass(frozen=True)
class Found:
    """What a dictionary found, measured as it is saved, on tokens that it wasn't trained on."""

    name: str
    k: int
    cosine: float
    l0: float
    fvu: float
    dead: float
    seconds: float

    HEAD = "| | k | mean max cosine | L0 | FVU | dead | CPU s |\n|---|---|---|---|---|---|---|"

    def __str__(self) -> str:
        shares = f"{self.cosine:.3f} | {self.l0:.2f} | {self.fvu:.3f} | {self.dead:.0%}"
        return f"| {self.name} | {self.k} | {shares} | {self.seconds:.1f} |"


def rows(ks: tuple[int, ...], steps: int) -> Iterator[Found]:
    """Every variant as an SAE and TopK as a transcoder, each at several sparsities; before them one that was trained
    for a single step, which has what chance gives."""
    yield measured("topk", ks[0], 1, name="topk, one step")
    for variant, transcoder in [*((name, False) for name in VARIANTS), ("topk", True)]:
        for k in ks:
            yield measured(variant, k, steps, transcoder=transcoder)


def measured(variant: str, k: int, steps: int, *, transcoder: bool = False, name: str = "") -> Found:
    """Train one and measure it."""
    toy, start = Toy(), time.process_time()
    recipe = Recipe(variant, width=N, k=k, rate=RATE, dead_after=DEAD_AFTER)
    learner = learned(toy, recipe, steps, BATCH, transcoder=transcoder)
    seconds, site = time.process_time() - start, Site(0, "resid_post")
    with torch.no_grad():
        dictionary = learner.dictionary("toy", site, site, "toy")
        x, y = toy.pair(TESTED)
        y = y if transcoder else x
        features = dictionary.encode(x)
        left = (y - dictionary.decode(features, x)).square().sum() / (y - y.mean(0)).square().sum()
        on = features > 0
        cosine = nearest(toy.written if transcoder else toy.directions, dictionary.decoder[:][:, 0])
        l0, dead = on.sum(1).double().mean().item(), (~on.any(0)).double().mean().item()
    kind = f"{variant}, transcoder" if transcoder else variant
    return Found(name or kind, k, cosine, l0, left.item(), dead, seconds)
