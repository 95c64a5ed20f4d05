"""Features whose meaning is known: planted into what the compiled induction model computes."""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from acdc.features.activations import ReLU
from acdc.features.dictionary import Dictionary
from acdc.features.reading import FeatureReading, read_features
from acdc.features.sites import Site, through_sites
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from acdc.runs.model_spec import ModelSpec
from acdc.task import load_task

ON, AFTER, RANDOM, DEAD = range(4)  # the features of the planted dictionary


class Planted(NamedTuple):
    model: PatchableModel
    dictionary: Dictionary
    corpus: PromptBatch
    token: int  # on which the first feature fires, and after which the second does
    reading: FeatureReading


@cache
def planted() -> Planted:
    """A dictionary of what the embedding and the previous-token head have written: `resid_post` of the first block."""
    model = ModelSpec.of("induction-compiled", dtype="float64").load()
    corpus = load_task("induction").batch(model.tokenizer, 200, 0)
    token = int(corpus.clean[corpus.position_ids == 3].mode().values)
    dictionary = planted_dictionary(model, corpus, token)
    return Planted(model, dictionary, corpus, token, read_features(model, dictionary, corpus))


@torch.no_grad()
def planted_dictionary(model: PatchableModel, corpus: PromptBatch, token: int) -> Dictionary:
    site, seen = Site(0, "resid_post"), corpus.attention & (corpus.position_ids > 0)
    x = through_sites(model, corpus, corpus.clean, lambda _, x: x, stop=site)
    before = corpus.clean.roll(1, 1)
    rows, biases = [], []
    for there in (corpus.clean == token, before == token):
        direction, threshold = separating(x[seen & there], x[seen & ~there])
        rows.append(direction)
        biases.append(-threshold)
    drawn = torch.randn(2, len(rows[0]), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    encoder = torch.stack([*rows, *drawn])
    b_enc = torch.stack([*biases, torch.zeros(()).double(), torch.tensor(-1e6).double()])
    none = torch.zeros(1, len(rows[0]), dtype=torch.float64)
    return Dictionary("planted", site, (site,), encoder, b_enc, encoder[:, None], none, ReLU())


def separating(yes: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
    """The direction from the one's mean to the other's, and the middle between them along it."""
    direction = yes.mean(0) - no.mean(0)
    low, high = (no @ direction).max(), (yes @ direction).min()
    assert low < high, "the plant can be told from all else"
    return direction, (low + high) / 2
