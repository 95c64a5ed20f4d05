"""What everything that is done with features says of a model, as one tensor each: to be compared between devices."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from acdc.features import load_set, save
from acdc.features.acting import Push, contrast, pushed
from acdc.features.attribution_graphs import trace
from acdc.features.circuits import evaluate, find
from acdc.features.fidelity import measure_fidelity
from acdc.features.reading import features_on, read_features
from acdc.features.sites import Site
from acdc.features.training import Recipe, train_dictionaries
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.prompts.texts import text_batch
from tests.features.attribution_graphs.transcoders import PROMPT, transcoders
from tests.features.circuits.tiny import SITES, sae
from tests.features.test_dictionary import tiny_dictionary
from tests.tiny import tiny_batch

__all__ = ["WORKS", "Work", "circuit", "fired", "measured", "read", "steered", "traced_heads", "trained"]

Work = Callable[[PatchableModel, Path], Tensor]


def measured(model: PatchableModel, folder: Path) -> Tensor:
    (found,) = measure_fidelity(model, [tiny_dictionary()], tiny_batch())
    return torch.tensor([found.fvu, found.l0, found.cosine, found.norm, found.ce_dictionary, found.ce_zero])


def trained(model: PatchableModel, folder: Path) -> Tensor:
    recipes = [Recipe(variant, width=24, k=3) for variant in ("topk", "jumprelu", "batchtopk", "matryoshka")]
    options: dict = {"reads": Site(1, "mlp_in"), "writes": Site(1, "mlp_out"), "steps": 4, "batch": 15, "buffer": 60}
    found = train_dictionaries(model, tiny_batch(), recipes, **options)
    return torch.cat([each.dictionary.encoder.flatten().cpu() for each in found])


def read(model: PatchableModel, folder: Path) -> Tensor:
    frame = read_features(model, tiny_dictionary(), tiny_batch()).frame()
    return torch.tensor(frame[["density", "act_max", "act_mean", "entropy"]].to_numpy())


def fired(model: PatchableModel, folder: Path) -> Tensor:
    return torch.tensor(features_on(model, tiny_dictionary(), PROMPT).frame().activation.to_numpy())


def circuit(model: PatchableModel, folder: Path) -> Tensor:
    problem, dictionaries = Problem.make(model, tiny_batch()), [sae(site) for site in SITES[1:]]
    found = find(problem, dictionaries, n_nodes=4, ablation="mean", steps=3)
    evidence = evaluate(found, problem, dictionaries, n_sets=1, n_random=1)
    return torch.tensor(
        [*(edge.weight for edge in found.edges), *(each.effect for each in found.nodes), evidence.faithfulness.value]
    )


def traced(model: PatchableModel, folder: Path) -> Tensor:
    """By decoders in memory, and by some in their files."""
    made = [replace(each, name="") for each in transcoders(model, skip=True)]
    kept = load_set(save(made, folder / "set", format="circuit-tracer"))
    return torch.cat([torch.tensor(trace(model, PROMPT, each).weights).flatten() for each in (made, kept)])


def traced_heads(model: PatchableModel, folder: Path) -> Tensor:
    return torch.tensor(trace(model, PROMPT).weights)


def steered(model: PatchableModel, folder: Path) -> Tensor:
    return pushed(model, tiny_dictionary(), tiny_batch(), Push(3, "clamp", 2.0))


def contrasted(model: PatchableModel, folder: Path) -> Tensor:
    sides = [text_batch([f"{i} {j} {k}" for j in range(12)], model.tokenizer) for i, k in ((1, 5), (7, 2))]
    return torch.tensor([row.difference.value for row in contrast(model, tiny_dictionary(), *sides).rows])


WORKS: list[Work] = [measured, trained, read, fired, circuit, traced, traced_heads, steered, contrasted]
