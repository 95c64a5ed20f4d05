"""Nodes of a feature circuit are called by a reader's own labels, and else by rules that were read before."""

from dataclasses import replace

import pytest

from acdc.errors import CircuitError, FileError, RunError
from acdc.features.circuits import FeatureCircuit, FeatureNode
from acdc.features.circuits.placed import Placed
from acdc.features.reading import FoundRule
from acdc.features.sites import Site
from acdc.runs.features.labels import called, check_labels, labelled, labels_in
from tests.features.circuits.tiny import sae, tiny_problem

SITE = Site(0, "mlp_out")
NAMES = ("mlp_out.0/3@end", "mlp_out.0/4@end", "mlp_out.0/error@end", "mlp_out.0/3@name", "mlp_out.0/5@end")


def circuit() -> FeatureCircuit:
    nodes = tuple(FeatureNode(name, 1.0) for name in NAMES)
    return FeatureCircuit("m", "t", "kl", "zero", "frozen", ("name", "end"), (), nodes, (), 5, 0, 1, "")


def test_own_labels_come_first_and_a_rule_that_failed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        def __init__(self, holds):
            self.holds = holds

    def rule(_, index):
        return None if index == 5 else replace_rule(f"fires on {index}", Held(index != 4))

    def replace_rule(text, test):
        found = object.__new__(FoundRule)
        for name, value in (("text", text), ("test", test)):
            object.__setattr__(found, name, value)
        return found

    monkeypatch.setattr("acdc.runs.features.labels.readings_of", lambda dictionaries, out: ["a reading"])
    monkeypatch.setattr("acdc.runs.features.labels.rule_of", rule)
    own = {"mlp_out.0/3@name": "names", "mlp_out.0/error": "the rest"}
    found = labelled(circuit(), [sae(SITE)], own, "out")
    assert found.labels == {
        "mlp_out.0/3@end": "fires on 3",
        "mlp_out.0/error@end": "the rest",
        "mlp_out.0/3@name": "names",
    }
    assert list(found.frame()["label"]) == ["fires on 3", "", "the rest", "names", ""]
    assert {node.label for node in found.graph().nodes} >= {"3 on 3", "error the rest", "3 names", "5"}
    long = replace(found, labels={NAMES[0]: "fires on " + "' a very long token', " * 9})
    assert len(long.called(NAMES[0])) <= 42
    assert long.called(NAMES[0]).endswith("…")


def test_labels_are_read_from_a_table_and_stand_for_their_nodes(tmp_path) -> None:
    table = circuit().frame().assign(label=["a, b", "", "", "a, b", "c"])
    table.to_csv(tmp_path / "nodes.csv", index=False)
    labels = labels_in(tmp_path / "nodes.csv")
    assert labels == {NAMES[0]: "a, b", NAMES[3]: "a, b", NAMES[4]: "c"}
    assert called(["c", "mlp_out.0/9", "a, b"], labels) == [NAMES[4], "mlp_out.0/9", NAMES[0], NAMES[3]]
    (tmp_path / "other.csv").write_text("feature,label\n1,a\n")
    with pytest.raises(FileError, match="must have the columns node and label; it has feature, label"):
        labels_in(tmp_path / "other.csv")
    (tmp_path / "other.csv").write_bytes(b"node,label\n\xff\xfe,a\n")
    with pytest.raises(FileError, match="is no CSV file"):
        labels_in(tmp_path / "other.csv")


def test_labels_of_what_isn_t_there_are_refused() -> None:
    placed = Placed.on(tiny_problem().model, [sae(SITE)])
    for labels, error, message in (
        ({"mlp_out.0/99": "a"}, CircuitError, "has 24 features"),
        ({"mlp_out.0": "a"}, CircuitError, "is called like"),
        ({"mlp_out.0/1": " "}, RunError, "the label of mlp_out.0/1 must be a text"),
    ):
        with pytest.raises(error, match=message):
            check_labels(labels, placed, ())
