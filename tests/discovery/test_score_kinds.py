"""Every method says what its scores are, truthfully, and the documentation says the same."""

import functools
import re
from pathlib import Path

import pytest
import torch

from acdc.circuits.score_kinds import SCORE_KINDS, words_of
from acdc.discovery import METHODS, DiscoveryResult
from acdc.patching.problem import Problem
from tests.tiny import tiny_batch, tiny_model

KINDS = {
    "acdc": "effect",
    "hap": "effect",
    "exact": "effect",
    "eap": "estimated effect",
    "eap-ig-inputs": "estimated effect",
    "eap-ig-activations": "estimated effect",
    "atp-star": "importance",
    "nap": "estimated effect",
    "nap-ig": "estimated effect",
    "edge-pruning": "gate",
    "subnetwork-probing": "gate",
    "ifr": "share",
    "hisp": "importance",
    "ensemble": "importance",
    "random": "none",
    "degree-matched": "none",
}
DOCS = Path(__file__).parents[2] / "docs" / "format.md"


@functools.cache
def found_by(name: str) -> DiscoveryResult:
    problem = Problem.make(tiny_model("gpt2"), tiny_batch(), metric="logit_diff", seed=3)
    options = {"steps": 2} if KINDS[name] == "gate" else {} if name in ("acdc", "hap") else {"n_edges": 9}
    return METHODS[name].search(problem, **options)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_s_scores_are_what_it_says(name: str) -> None:
    found = found_by(name)
    assert found.score_kind == KINDS[name]
    scores = found.scores[~found.scores.isnan()]
    if words_of(found.score_kind).negative is None:
        assert float(scores.min()) >= (0.0 if name != "degree-matched" else -torch.inf)
    if found.score_kind in ("gate", "share"):
        assert float(scores.max()) <= 1.0


@pytest.mark.parametrize("kind", SCORE_KINDS)
def test_the_documentation_lists_the_methods_of_every_kind(kind: str) -> None:
    row = next(line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{kind}` |"))
    methods = set(re.split(r"[^\w-]+", re.sub(r"\([^)]*\)", "", row.split("|")[3])))
    assert methods - {""} == {name for name, of in KINDS.items() if of == kind}
