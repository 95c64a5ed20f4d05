"""Dictionaries on tiny models, and problems that they are tried on."""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from acdc.features.activations import ReLU
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.runs import FeatureRuns
from acdc.features.dictionary import Dictionary
from acdc.features.sites import Site
from acdc.patching.problem import Problem
from tests.tiny import split_batch, tiny_batch, tiny_model

D = 16
SITES = (Site(0, "mlp_out"), Site(0, "resid_post"), Site(1, "attn_out"))


def sae(site: Site, *, n: int = 24, seed: int = 0) -> Dictionary:
    """Random directions, roughly tied, so that some of the site is reconstructed."""
    draw = torch.Generator().manual_seed(seed + 100 * site.layer + len(site.kind))
    rows = torch.nn.functional.normalize(torch.randn(n, D, generator=draw, dtype=torch.float64), dim=1)
    b_enc = 0.1 * torch.randn(n, generator=draw, dtype=torch.float64)
    b_dec = 0.1 * torch.randn(1, D, generator=draw, dtype=torch.float64)
    return Dictionary(f"random at {site}", site, (site,), rows, b_enc, rows[:, None] * 0.6, b_dec, ReLU())


def split_identity(site: Site) -> Dictionary:
    """Each neuron as two features, what is above zero and what is below: nothing is left over."""
    both = torch.cat([torch.eye(D), -torch.eye(D)]).double()
    none = torch.zeros(2 * D, dtype=torch.float64)
    return Dictionary("identity", site, (site,), both, none, both[:, None], torch.zeros(1, D).double(), ReLU())


def transcoder(layer: int = 0, *, skip: bool = True) -> Dictionary:
    """A random transcoder of an MLP."""
    made = sae(Site(layer, "mlp_out"), seed=7)
    weights = torch.randn(D, D, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return replace(made, name="transcoder", reads=Site(layer, "mlp_in"), skip=0.3 * weights if skip else None)


@functools.cache
def tiny_problem(family: str = "gpt2", *, spans: bool = False, metric: str = "logit_diff") -> Problem:
    return Problem.make(tiny_model(family), split_batch() if spans else tiny_batch(), metric=metric)


def runs_on(problem: Problem, dictionaries: list[Dictionary] | None = None, **options: object) -> FeatureRuns:
    made = [sae(site) for site in SITES] if dictionaries is None else dictionaries
    return FeatureRuns(problem, Placed.on(problem.model, made), **options)  # type: ignore[arg-type]


def loss_with(problem: Problem, changed: dict[Site, Tensor]) -> float:
    """The loss of a clean run to which something is added at some sites."""
    from acdc.features.sites import through_sites

    def visit(site: Site, x: Tensor) -> Tensor:
        return x + changed[site] if site in changed else x

    with torch.no_grad():
        final = through_sites(problem.model, problem.batch, problem.batch.clean, visit)
        return problem.loss(problem.model.unembed(final[:, -1]))
