"""AND, OR and ADDER labels: by the rule, and where they are known by construction."""

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.evaluation.knockouts import knock_out_edges
from acdc.evaluation.parts.gates import gates_of, label_of
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.runs.discover import discover
from acdc.runs.evaluate import evaluate
from acdc.task import load_task
from acdc.zoo import zoo_path


def labels_of(name: str, metric: str = "kl") -> dict[str, str]:
    """Of the true edges."""
    model = PatchableModel.from_pretrained(f"{name}-compiled", dtype="float64")
    truth = Circuit.load(zoo_path(f"{name}-compiled") / "circuit.json").mask
    problems = [Problem.make(model, load_task(name).batch(model.tokenizer, 6, seed), metric=metric) for seed in (0, 1)]
    return {edge: gate.label for edge, gate in gates_of(problems, truth)[0].items()}


@pytest.mark.parametrize(
    ("noise", "denoise", "label"),
    [
        (1.0, 0.0, "AND"),
        (0.0, 1.0, "OR"),
        (0.5, 0.5, "ADDER"),
        (1.0, 1.0, "ADDER"),
        (0.04, -0.04, "none"),
        (-0.3, 0.1, "against"),
        (0.3, 0.09, "AND"),
        (0.3, 0.11, "ADDER"),
    ],
)
def test_the_rule(noise: float, denoise: float, label: str) -> None:
    assert label_of(noise, denoise) == label


def test_backups_are_or_and_what_all_goes_through_is_neither() -> None:
    labels = labels_of("either")
    assert labels["a1.h0->m1"] == labels["a1.h2->m1"] == "OR"
    assert labels["input->a0.h1<v>"] == "AND", "without it neither path works, and with it alone none does"
    assert labels["m1->logits"] == "ADDER", "it carries everything, both ways"
    assert labels["a0.h1->a1.h0<k>"] == "none", "an AND of k and v within a backup path"


def test_only_some_edges_are_removed_if_asked() -> None:
    model = PatchableModel.from_pretrained("either-compiled", dtype="float64")
    problem = Problem.make(model, load_task("either").batch(model.tokenizer, 4))
    whole, some = model.graph.edges_mask, model.graph.mask_of(["a1.h0->m1", "m1->logits"])
    all_of_them, two = (knock_out_edges(problem, whole, only=only).effects for only in (None, some))
    torch.testing.assert_close(two[some], all_of_them[some])
    assert bool(two[whole & ~some].isnan().all())


def test_an_evaluation_names_the_backup_that_acdc_left_out() -> None:
    result = discover(None, "either", n=6, tau=0.5, sweeps=0, out=None)
    (kept,) = {"a1.h0->m1", "a1.h2->m1"} & set(result.circuit.edges)
    found = evaluate(result, only=["gates"], n=6)
    gates = found.report["parts"]["gates"]
    assert gates["edges_of_circuit"][kept]["label"] == "OR"
    assert set(gates["backups"]) == {"a1.h0->m1", "a1.h2->m1"} - {kept}
    assert "backups outside" in found.summary()
