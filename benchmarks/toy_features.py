"""Toy models of superposition, whose features are known, and which dictionaries find them.

| toy | features | dimensions | on at a time |
|---|---|---|---|
| flat | 64, each on with a probability of 3/64, of a size from .5 to 1.5 | 32 | 3 |
| crowded | 64, each on with a probability of .05, of a size from 0 to 1 | 16 | 3.2 |
| tree | 4, on with a probability of .25, and of each 4 children, one of them on with .8 where it is on | 20 | 1.8 |

Directions are random, but of the tree, where they are orthogonal. A transcoder reads features in these directions and
writes them in others. Trained as `acdc train-dictionary` does it, with its learning rate.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from acdc.features.sites import Site
from acdc.features.training import VARIANTS, Recipe
from acdc.features.training.learner import Learner

__all__ = ["TOYS", "Found", "Toy", "Tree", "learned", "measured", "nearest", "recipe_of", "rows"]

BATCH, DEATHS = 256, 100  # tokens of a step; times that a feature could have died
TESTED = 20_000  # tokens


class Toy:
    """Sparse features, each with a direction of its own.

    Args:
        n, d: How many features, in how many dimensions.
        p: How often each is on; it then has a size drawn from `low` to `low + 1`.
    """

    def __init__(self, n: int, d: int, p: float, low: float) -> None:
        self.draw, self.p, self.low = torch.Generator().manual_seed(0), p, low
        self.directions = normalize(torch.randn(n, d, generator=self.draw), dim=1)
        self.written = normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(1)), dim=1)

    def pair(self, n: int) -> tuple[Float[Tensor, "tokens d"], Float[Tensor, "tokens d"]]:
        """Tokens as an SAE reads and writes them and a transcoder reads them, and as a transcoder is to write them."""
        features = self.features(n)
        return features @ self.directions, features @ self.written

    def recovered(self, learner: Learner, *, transcoder: bool = False) -> float:
        """The mean max cosine of its directions, of a transcoder those that it is to write."""
        return nearest(self.written if transcoder else self.directions, learner.weights.decoder.detach())

    def features(self, n: int) -> Float[Tensor, "tokens n"]:
        """How strongly each feature is there."""
        on = torch.rand(n, len(self.directions), generator=self.draw) < self.p
        return on * (self.low + torch.rand(on.shape, generator=self.draw))


class Tree(Toy):
    """Features that have children, one of which is mostly on where its parent is: what a dictionary that may have fewer
    features on than there are would rather hold as one, parent and child (absorption)."""

    PARENTS, CHILDREN, ONE = 4, 4, 0.8

    def __init__(self) -> None:
        n = self.PARENTS * (1 + self.CHILDREN)
        super().__init__(n, n, 0.25, 0.5)
        self.directions = torch.linalg.qr(self.directions).Q

    def features(self, n: int) -> Float[Tensor, "tokens n"]:
        parents = torch.rand(n, self.PARENTS, generator=self.draw) < self.p
        has = parents & (torch.rand(parents.shape, generator=self.draw) < self.ONE)
        which = one_hot(torch.randint(self.CHILDREN, parents.shape, generator=self.draw), self.CHILDREN).bool()
        on = torch.cat([parents, (which & has[..., None]).flatten(1)], 1)
        return on * (self.low + torch.rand(on.shape, generator=self.draw))


TOYS = {"flat": lambda: Toy(64, 32, 3 / 64, 0.5), "crowded": lambda: Toy(64, 16, 0.05, 0.0), "tree": Tree}


def nearest(directions: Float[Tensor, "n d"], decoder: Float[Tensor, "rows d"]) -> float:
    """Mean max cosine: over directions, of the cosine with the nearest row of a decoder."""
    return (directions @ normalize(decoder, dim=1).T).max(1).values.mean().item()


def recipe_of(toy: Toy, variant: str, k: int, steps: int) -> Recipe:
    """That of a dictionary of as many features as the toy has, with the learning rate and the death of features that
    `acdc train-dictionary` has."""
    return Recipe(variant, width=len(toy.directions), k=k, dead_after=max(1, BATCH * steps // DEATHS))


def learned(toy: Toy, recipe: Recipe, steps: int, batch: int = BATCH, *, transcoder: bool = False) -> Learner:
    """A dictionary that was trained on a toy."""

    def draw(n: int) -> tuple[Tensor, Tensor | None]:
        x, y = toy.pair(n)
        return x, y if transcoder else None

    learner = Learner(recipe, *draw(4096), steps=steps, seed=1)
    for step in range(steps):
        learner.step(*draw(batch), step)
    return learner


@dataclass(frozen=True)
class Found:
    """What a dictionary found, measured as it is saved, on tokens that it wasn't trained on."""

    toy: str
    name: str
    k: int
    cosine: float
    l0: float
    fvu: float
    dead: float
    seconds: float

    HEAD = "| toy | | k | mean max cosine | L0 | FVU | dead | CPU s |\n|---|---|---|---|---|---|---|---|"

    def __str__(self) -> str:
        shares = f"{self.cosine:.3f} | {self.l0:.2f} | {self.fvu:.3f} | {self.dead:.0%}"
        return f"| {self.toy} | {self.name} | {self.k} | {shares} | {self.seconds:.1f} |"


def rows(steps: int) -> Iterator[Found]:
    """Every variant as an SAE and TopK as a transcoder, on a toy each; before them one that was trained for a single
    step, which has what chance gives."""
    yield measured("flat", "topk", 3, 1, name="topk, one step")
    for name, k in (("flat", 3), ("crowded", 2)):
        yield from (measured(name, variant, k, steps) for variant in VARIANTS)
        yield measured(name, "topk", k, steps, transcoder=True)
    for k in (1, 2):
        yield from (measured("tree", variant, k, steps) for variant in ("topk", "batchtopk", "matryoshka"))


def measured(toy: str, variant: str, k: int, steps: int, *, transcoder: bool = False, name: str = "") -> Found:
    """Train one and measure it."""
    made, start = TOYS[toy](), time.process_time()
    learner = learned(made, recipe_of(made, variant, k, steps), steps, transcoder=transcoder)
    seconds, site = time.process_time() - start, Site(0, "resid_post")
    with torch.no_grad():
        dictionary = learner.dictionary("toy", site, site, "toy")
        x, y = made.pair(TESTED)
        y = y if transcoder else x
        features = dictionary.encode(x)
        left = (y - dictionary.decode(features, x)).square().sum() / (y - y.mean(0)).square().sum()
        on = features > 0
        cosine = nearest(made.written if transcoder else made.directions, dictionary.decoder[:][:, 0])
        l0, dead = on.sum(1).double().mean().item(), (~on.any(0)).double().mean().item()
    kind = f"{variant}, transcoder" if transcoder else variant
    return Found(toy, name or kind, k, cosine, l0, left.item(), dead, seconds)
