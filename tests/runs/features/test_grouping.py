"""Groups that are made by hand are in the file, on its page and in its picture; what can't be one is refused."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from acdc.errors import ACDCError, FileError
from acdc.features import Dictionary, load
from acdc.features.attribution_graphs import load_graph, save_graph
from acdc.features.circuits import FeatureEdge, load_feature_circuit
from acdc.features.circuits.finding import record_of
from acdc.runs.features.grouping import group_nodes, groups_in
from tests.report.test_graph_page import SITE, circuit, data_of, traced

NODES = (f"{SITE}/2", f"{SITE}/error")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    found = circuit(*(FeatureEdge(node.name, "logits", node.effect) for node in circuit().nodes))
    return found.save(tmp_path / "feature_circuit.json")


def test_a_circuit_s_groups_are_in_its_file_page_and_picture(saved: Path) -> None:
    before = load_feature_circuit(saved)
    found = group_nodes(saved, {"<b>both": NODES})
    assert load_feature_circuit(saved) == found.graph == before.with_supernodes({"<b>both": NODES})
    page, picture = ((saved.parent / name).read_text() for name in ("report.html", "feature_circuit.svg"))
    assert data_of(page)["groups"] == [["<b>both", *NODES]] and data_of(page)["first"]["group"] is True
    assert "&lt;b&gt;both (2)" in picture and "<b>both" not in picture
    assert "group 0" in (saved.parent / "feature_circuit.dot").read_text()
    assert group_nodes(saved.parent, {"one": NODES[:1]}).supernodes == (("<b>both", NODES[1]), ("one", NODES[0]))
    assert group_nodes(saved, without=["one"]).supernodes == (("<b>both", NODES[1]),)
    assert group_nodes(saved, only=True).supernodes == load_feature_circuit(saved).supernodes == ()


def test_the_dictionaries_are_those_that_the_file_names(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[list[str]]()

    def readings(dictionaries: Sequence[Dictionary], out: Path) -> list[None]:
        seen.append([each.name for each in dictionaries])
        return [None] * len(dictionaries)

    monkeypatch.setattr("acdc.runs.features.circuits.readings_of", readings)
    record = record_of(load("acdc-small.resid_post.1"))
    gone, other = replace(record, name="no such folder"), replace(record, sha256="0")
    replace(load_feature_circuit(saved), dictionaries=(record, gone, other)).save(saved)
    group_nodes(saved, out=tmp_path)
    (tmp_path / "features").mkdir()
    group_nodes(saved, out=tmp_path)
    assert seen == [[], ["acdc-small.resid_post.1"]]


def test_a_folder_without_a_circuit_or_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"holds neither feature_circuit.json nor graph.json"):
        group_nodes(tmp_path, {"both": NODES})


def test_a_graph_s_groups_are_in_its_file(tmp_path: Path) -> None:
    path = save_graph(traced(), tmp_path / "my.json")
    ids = [node.id for node in traced().nodes if node.kind == "feature"][:2]
    group_nodes(path, {"both": ids})
    assert load_graph(path).supernodes == (("both", *ids),)
    assert "both (2)" in (tmp_path / "graph.svg").read_text()
    told = json.loads(path.read_text())
    told["qParams"]["supernodes"] = [["both", "no such node"]]
    path.write_text(json.dumps(told))
    with pytest.raises(FileError, match="supernodes: group 'both' names 'no such node', which is not a node"):
        load_graph(path)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"g": ("resid_post.0/3",)}, "group 'g' names 'resid_post.0/3', which is not a node"),
        ({"g": NODES, "h": NODES[:1]}, "is in 'g' and 'h'"),
    ],
)
def test_a_group_of_what_is_no_node_leaves_the_file_as_it_is(
    saved: Path, groups: dict[str, tuple[str, ...]], message: str
) -> None:
    before = saved.read_bytes()
    with pytest.raises(ACDCError, match=message):
        group_nodes(saved, groups)
    assert saved.read_bytes() == before
    with pytest.raises(ACDCError, match="unknown group 'g'"):
        group_nodes(saved, without=["g"])


def test_a_circuit_s_file_with_a_group_of_what_is_no_node_is_refused(saved: Path) -> None:
    told = json.loads(saved.read_text()) | {"supernodes": [["g", "resid_post.0/3"]]}
    saved.write_text(json.dumps(told))
    with pytest.raises(FileError, match=r"is damaged: group 'g' names 'resid_post.0/3', which is not a node"):
        load_feature_circuit(saved)


def test_groups_are_given_as_text_or_as_a_file(tmp_path: Path, saved: Path) -> None:
    group_nodes(saved, {"of the file": NODES})
    alone = tmp_path / "supernodes.json"
    alone.write_text('[["listed", "a", "b"]]')
    found = groups_in(["named=c,d", str(saved), str(alone)])
    assert found == {"named": ("c", "d"), "of the file": NODES, "listed": ("a", "b")}
    with pytest.raises(ACDCError, match="two groups are called 'named'"):
        groups_in(["named=c", "named=d"])
    for text in ('[["alone"]]', '{"qParams": 1}', '"text"'):
        alone.write_text(text)
        with pytest.raises(FileError, match="hold"):
            groups_in([str(alone)])
