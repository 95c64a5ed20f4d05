"""What tests of compiled models share: a problem, the truth, and that what is shipped is what the script makes."""

import functools
from types import ModuleType

import torch
from transformers import AutoModelForCausalLM

from acdc.circuits.circuit import Circuit
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.task import load_task
from acdc.zoo import zoo_path


@functools.cache
def problem_of(name: str, seed: int = 0, dtype: str = "float32", metric: str = "kl", n: int = 20) -> Problem:
    model = PatchableModel.from_pretrained(name, dtype=dtype)
    task = load_task(name.removesuffix("-compiled"))
    return Problem.make(model, task.batch(model.tokenizer, n, seed), metric=metric)


def truth_of(name: str) -> Circuit:
    return Circuit.load(zoo_path(name) / "circuit.json")


def assert_shipped_as_made(name: str, script: ModuleType) -> None:
    """The weights, the true circuit, and a card that names its edges."""
    shipped = AutoModelForCausalLM.from_pretrained(zoo_path(name)).state_dict()
    made = script.model().compile().float().state_dict()
    assert shipped.keys() == made.keys()
    assert all(torch.equal(shipped[key], made[key]) for key in made)
    truth, card = truth_of(name), (zoo_path(name) / "README.md").read_text()
    assert script.model().truth == truth
    assert all(f"`{edge}`" in card for edge in truth.edges)
