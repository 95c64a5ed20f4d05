"""The benchmark of features: its yardsticks are right where the answer is plain, and its tables are printed."""

import pytest
import torch

from acdc import PatchableModel
from acdc.features.circuits.placed import Placed
from acdc.features.circuits.runs import FeatureRuns
from acdc.patching.problem import Problem
from acdc.task import load_task
from benchmarks import features, known_features, toy_features


def test_a_toy_s_own_directions_are_all_found_and_random_ones_are_not() -> None:
    toy = toy_features.TOYS["crowded"]()
    assert toy_features.nearest(toy.directions, 3 * toy.directions) == pytest.approx(1)
    assert toy_features.nearest(toy.directions, toy.written) < 0.7
    x, y = toy.pair(5)
    assert not torch.allclose(x, y)


def test_a_child_in_the_tree_is_never_without_its_parent() -> None:
    tree = toy_features.Tree()
    on = tree.features(4000) > 0
    parents, children = on[:, :4], on[:, 4:].unflatten(1, (4, 4)).sum(2)
    assert int(children.max()) == 1 and not (children.bool() & ~parents).any()
    assert children.sum().item() / parents.sum().item() == pytest.approx(tree.ONE, abs=0.03)
    torch.testing.assert_close(tree.directions @ tree.directions.T, torch.eye(20), atol=1e-5, rtol=0)


def test_a_toy_is_learned_better_in_more_steps() -> None:
    start, later = (toy_features.measured("crowded", "topk", 2, steps) for steps in (1, 60))
    assert later.cosine > start.cosine and later.fvu < start.fvu and later.l0 <= 2
    assert toy_features.measured("flat", "topk", 2, 1, transcoder=True).name == "topk, transcoder"


def test_dictionaries_made_by_hand_leave_nothing_over() -> None:
    model, task = PatchableModel.from_pretrained("reverse-compiled", dtype="float64"), load_task("reverse")
    made = known_features.dictionaries_of(model, known_features.READ_AT["reverse-compiled"])
    assert [str(each.dictionary.reads) for each in made] == ["attn_out.0", "mlp_out.0", "attn_out.1", "mlp_out.1"]
    problem = Problem.make(model, task.batch(model.tokenizer, 2, 0), metric="logit_diff")
    runs = FeatureRuns(problem, Placed.on(model, [each.dictionary for each in made]))
    for each in runs.clean(runs.pieces[0])[:3]:  # the last MLP is idle, and writes mixtures of codes
        assert each.error.abs().max() < 1e-4 and each.features.max() > 0.99


def test_what_a_compiled_model_needs_ranks_first() -> None:
    found = next(known_features.rows(2, ("reverse-compiled",)))
    assert found.n_true > 3 and found.n_other > 10
    assert found.auc["exact"] == 1 and found.auc["midpoint, 10"] == 1
    assert found.rho["exact"] == pytest.approx(1)


@pytest.mark.slow
def test_costs_are_printed_of_any_model(capsys: pytest.CaptureFixture[str]) -> None:
    features.main(["--quick", "--only", "costs", "--model", "acdc-small"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "ratio" not in line]
    assert len(rows) == 10 and all(float(row[3].replace(",", "")) > 0 for row in rows)


def test_a_model_that_isnt_there_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    features.main(["--only", "costs", "--model", "./none"])
    assert capsys.readouterr().out.strip() == "skipped: there is no model folder './none'"
