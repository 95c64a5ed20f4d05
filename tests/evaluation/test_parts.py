"""A part of an evaluation is one dataclass in one file: measured, worded, tabulated, saved and read again."""

import json
import textwrap
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from acdc import discover, evaluate
from acdc.cli.app import app
from acdc.cli.evaluate import PARTS as NAMES
from acdc.errors import CircuitError, FileError
from acdc.evaluation import PARTS, Part
from acdc.evaluation.numbers import Number
from acdc.evaluation.report import load_report, part_of
from acdc.registry import declared
from acdc.runs.evaluation_report import Evaluation
from tests.runs.evaluated import FEW, Random
from tests.tiny import tiny_model


@dataclass(frozen=True)
class Size(Part):
    """How large the circuit is."""

    name = "size"
    summary = "how many edges it keeps"
    order = 25
    kinds = ("csv", "svg")

    lengths: dict[str, Number]
    n_prompts: int
    forward_passes: int

    def __post_init__(self) -> None:
        if "" in self.lengths:
            raise ValueError("an edge has no name")

    @classmethod
    def measure(cls, work) -> "Size":
        if not work.circuit.n_edges:
            raise CircuitError("an empty circuit has no size")
        work.step(1, 1)
        return cls({name: float(len(name)) for name in work.circuit.edges} | {"input->logits": float("inf")}, 6, 0)

    def lines(self):
        yield "size", f"{len(self.lengths)} names"

    def edges(self):
        return {"length": self.lengths}

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(list(self.lengths.items()), columns=["edge", "length"])

    def draw(self, path: Path, *, circuit: str, prompts: str) -> None:
        path.write_text(f"<svg><!-- {circuit}, {prompts} --></svg>")


def test_a_new_part_is_measured_worded_tabulated_saved_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARTS, "size", Size)
    model = tiny_model("gpt2")
    run = discover(model, Random, n=6, tau=0.02, out=None)
    settings = {"model": model, "task": Random, "only": ["size", "faithfulness"], **FEW}
    found = evaluate(run, **settings, out=tmp_path)
    assert found.part("size")["lengths"]["input->logits"] is None, "what isn't finite is null"
    assert "size " in found.summary() and f"{len(found.part('size')['lengths'])} names" in found.summary()
    assert {path.name for path in found.files} >= {"size.csv", "size.svg", "edges.csv"}
    assert "6 held-out prompts" in (tmp_path / "size.svg").read_text()
    edges = pd.read_csv(tmp_path / "edges.csv").set_index("edge")
    assert edges.loc[run.circuit.edges[0], "length"] == len(run.circuit.edges[0])
    loaded = Evaluation(found.circuit, load_report(tmp_path / "evaluation.json"))
    assert loaded.summary() == found.summary()
    again = evaluate(run, **settings, out=tmp_path)
    assert again.report["parts"]["size"] == found.report["parts"]["size"], "taken over, with its seconds"


def test_a_damaged_part_is_told_by_its_own_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "size", Size)
    whole = {"lengths": {"a": 1.0}, "n_prompts": 6, "forward_passes": 0}
    assert part_of("size", whole) == Size({"a": 1.0}, 6, 0)
    for change, message in (
        ({"n_prompts": "six"}, "size: 'n_prompts': input should be a valid integer"),
        ({"lengths": {"a": "long"}}, "size: 'lengths.a': input should be a valid number"),
        ({"lengths": {"": 1.0}}, "size: an edge has no name"),
    ):
        with pytest.raises(FileError, match=message):
            part_of("size", whole | change)
    with pytest.raises(FileError, match="'forward_passes': field required"):
        part_of("size", {"lengths": {}, "n_prompts": 6})


def test_a_file_in_the_folder_is_all_that_a_new_part_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import acdc.evaluation.parts as folder

    code = "from tests.evaluation.test_parts import Size\n\nPART = Size\n"
    (tmp_path / "size.py").write_text(textwrap.dedent(code))
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    assert declared("acdc.evaluation.parts", "PART")[-1] is not None
    assert Size in declared("acdc.evaluation.parts", "PART")


@pytest.mark.parametrize("part", PARTS.values(), ids=list(PARTS))
def test_every_part_says_what_it_is(part: type[Part]) -> None:
    assert part.__module__ == f"acdc.evaluation.parts.{part.name}", "a part's file is called as it is"
    assert part.summary and {field.name for field in fields(part)} >= {"n_prompts", "forward_passes"}
    json.dumps([part.order, part.unit, part.kinds])


def test_the_command_s_help_lists_every_part() -> None:
    assert sorted(PARTS) == NAMES
    assert all(name in CliRunner().invoke(app, ["evaluate", "--help"]).output for name in PARTS)


def test_parts_stand_in_the_order_of_the_report() -> None:
    orders = [part.order for part in PARTS.values()]
    assert orders == sorted(set(orders))
