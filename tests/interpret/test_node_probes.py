"""A node that writes a label at the target is told from one that doesn't."""

from acdc.interpret.node_probes import node_probes
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.task import load_task


def test_the_verb_s_number_is_read_from_what_late_nodes_write_at_the_end() -> None:
    model, task = PatchableModel.from_pretrained("acdc-tasks"), load_task("agreement")
    train, test = task.batch(model.tokenizer, 80, 0), task.batch(model.tokenizer, 40, 0, held_out=True)
    nodes = [name for name in model.graph.sources if name != "input"]
    found = node_probes(train, Problem.make(model, test, metric="logit_diff"), nodes)
    assert list(found) == nodes
    assert max(found.values()) > 0.4, "0.5 is all that is above the majority"
    assert abs(found["m0"]) < 0.25, "at the end the first MLP sees no noun"
