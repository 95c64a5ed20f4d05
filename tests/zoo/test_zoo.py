"""The bundled models are ordinary folders, do what their cards say, and the compiled one's circuit is recovered."""

import compile_induction
import pytest
import torch
import train_acdc_small
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from acdc.circuits.circuit import Circuit
from acdc.discovery.acdc import acdc
from acdc.metrics import accuracy
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.task import load_task
from acdc.zoo import zoo_names, zoo_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("acdc-small", "When Mary gave"),
        ("acdc-tasks", 'def port(self, size):\n    """oil column'),
        ("acdc-questions", "Q: On the table, I see a red pencil.\nA: red"),
        ("acdc-arithmetic", "47+35=82"),
        ("induction-compiled", " a b"),
    ],
)
def test_a_bundled_model_is_an_ordinary_small_folder(name: str, text: str) -> None:
    assert name in zoo_names()
    folder = zoo_path(name)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6
    hf, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([[3, 4, 5]])
    ours = PatchableModel.from_pretrained(name)
    assert torch.equal(hf(ids).logits, ours.hf(ids).logits)
    assert len(tokenizer) == hf.config.vocab_size
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_trained_model_does_what_its_card_says() -> None:
    folder = zoo_path("acdc-small")
    hf = AutoModelForCausalLM.from_pretrained(folder).eval()
    scores = train_acdc_small.held_out_scores(hf, Tokenizer.from_file(str(folder / "tokenizer.json")))
    bounds = (0.97, 0.95, 0.78, 0.97, 0.97)
    assert all(score >= bound for score, bound in zip(scores.values(), bounds, strict=True)), scores
    card = (folder / "README.md").read_text()
    for name, score in scores.items():
        printed = float(card.split(f"| {name} | ")[1].split(" |")[0])
        assert printed == pytest.approx(score, abs=0.005)


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize(
    ("task", "least"), [("ioi", 0.97), ("greater-than", 1.0), ("induction", 0.95), ("agreement", 0.97)]
)
def test_the_trained_model_solves_the_built_in_tasks(task: str, least: float, held_out: bool) -> None:
    model = PatchableModel.from_pretrained("acdc-small")
    problem = Problem.make(model, load_task(task).batch(model.tokenizer, 200, 3, held_out=held_out))
    right = accuracy(problem.clean.logits, problem.batch.correct, problem.batch.wrong)
    assert right.float().mean() >= least


@pytest.mark.parametrize("metric", ["kl", "nll"])
@pytest.mark.parametrize("tau", [0.3, 0.01, 0.001])
@pytest.mark.parametrize("seed", [0, 1])
def test_acdc_recovers_the_compiled_circuit_exactly(metric: str, tau: float, seed: int) -> None:
    model = PatchableModel.from_pretrained("induction-compiled")
    truth = Circuit.load(zoo_path("induction-compiled") / "circuit.json", graph=model.graph)
    problem = Problem.make(model, load_task("induction").batch(model.tokenizer, 20, seed), metric=metric)
    found = acdc(problem, tau=tau, sweeps=0, prune=False)
    assert model.graph.edge_names(found.mask) == list(truth.edges)
    assert found.guarantees["minimal_at_tau"]


def test_the_compiled_model_is_what_its_script_makes() -> None:
    folder = zoo_path("induction-compiled")
    shipped = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    made = compile_induction.compile_model().float().state_dict()
    assert shipped.keys() == made.keys()
    assert all(torch.equal(shipped[name], made[name]) for name in made)
    graph = PatchableModel.from_pretrained("induction-compiled").graph
    assert compile_induction.true_circuit(graph).edges == Circuit.load(folder / "circuit.json").edges


def test_the_compiled_model_is_sure_of_every_answer() -> None:
    model = PatchableModel.from_pretrained("induction-compiled")
    problem = Problem.make(model, load_task("induction").batch(model.tokenizer, 100, 0))
    assert problem.clean.logits.softmax(-1).gather(1, problem.batch.correct).min() > 0.99
