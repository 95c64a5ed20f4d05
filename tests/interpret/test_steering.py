"""A direction that carries a label turns the answer round, a random one doesn't; taken out, it is gone everywhere."""

import copy

import numpy as np
import pytest
import torch

from acdc.errors import TaskError
from acdc.interpret.neutral import neutral_batch
from acdc.interpret.steering import Direction, _without, find_direction, random_like, steer
from acdc.models import PatchableModel
from acdc.patching.activations import run
from acdc.patching.problem import Problem
from acdc.task import load_task
from tests.tiny import tiny_batch, tiny_model


def _agreement() -> tuple[Problem, Direction]:
    model, task = PatchableModel.from_pretrained("acdc-tasks"), load_task("agreement")
    train, test = task.batch(model.tokenizer, 80, 0), task.batch(model.tokenizer, 40, 0, held_out=True)
    tuned = Problem.make(model, train.select(range(16)), metric="logit_diff")
    return Problem.make(model, test, metric="logit_diff"), find_direction(train, tuned)


def test_the_number_s_direction_turns_the_verb_round_and_a_random_one_does_not() -> None:
    problem, direction = _agreement()
    assert direction.label == "answer" and set(direction.classes) == {" is", " are"}
    assert direction.layer <= 0.8 * problem.model.graph.n_layers
    found, drawn = steer(direction, problem), steer(random_like(direction), problem)
    by_strength = {row.strength: row.metric for row in found.rows}
    own = -problem.model_loss
    assert by_strength[0.0].value == pytest.approx(own, rel=1e-5)
    assert by_strength[1.0].high < 0 < own, "the other verb is more likely"
    assert by_strength[1.0].value > by_strength[2.0].value
    assert abs(by_strength[None].value) < own / 2, "without it neither verb is likelier by much"
    assert {row.strength: row.metric.value for row in drawn.rows}[1.0] > 0
    assert list(found.frame()["strength"]) == ["-1", "0", "0.5", "1", "2", "ablated"]


def test_a_direction_taken_out_everywhere_is_a_model_whose_weights_never_write_it() -> None:
    model, batch = tiny_model("llama"), tiny_batch()
    vector = torch.from_numpy(np.random.default_rng(0).normal(size=model.graph.d_model))
    direction = Direction("side", ("clean", "corrupted"), 0, "end", vector)
    unit, hf = vector / vector.norm(), copy.deepcopy(model.hf)
    with torch.no_grad():
        embedding = hf.model.embed_tokens.weight
        embedding -= (embedding @ unit)[:, None] * unit
        for layer in hf.model.layers:
            for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
                weight -= unit[:, None] * (unit @ weight)
    orthogonal = PatchableModel(hf, model.tokenizer, name="orthogonal")
    final = _without(model, batch, run(model, batch, batch.clean), direction)
    expected = run(orthogonal, batch, batch.clean).final
    seen = batch.attention
    torch.testing.assert_close(final[seen], expected[seen], rtol=1e-10, atol=1e-10)


def test_a_random_direction_is_as_long() -> None:
    direction = Direction("side", ("clean", "corrupted"), 0, "end", torch.arange(8.0))
    drawn = random_like(direction)
    assert float(drawn.vector.norm()) == pytest.approx(float(direction.vector.norm()))
    assert torch.equal(drawn.vector, random_like(direction).vector)
    assert not torch.equal(drawn.vector, random_like(direction, seed=1).vector)


def test_neutral_text_is_left_out_where_it_can_t_be_spelled() -> None:
    assert neutral_batch(PatchableModel.from_pretrained("induction-compiled").tokenizer) is None


def test_a_place_that_prompts_lack_is_told() -> None:
    problem, direction = _agreement()
    elsewhere = Direction(direction.label, direction.classes, direction.layer, "S9", direction.vector)
    with pytest.raises(TaskError, match="without the place 'S9'"):
        steer(elsewhere, problem)
