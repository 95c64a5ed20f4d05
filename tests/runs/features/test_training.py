"""A named text becomes a dictionary in a folder, with its report; bad input is told in a line."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from acdc.errors import ACDCError
from acdc.features.fidelity import Fidelity
from acdc.features.formats import load, load_set
from acdc.features.sites import Site
from acdc.features.training import Recipe
from acdc.features.training.place import places_of
from acdc.models import PatchableModel
from acdc.runs.features.dictionary_command import training_command
from acdc.runs.features.training import sites_asked, train_dictionary, written_asked
from acdc.runs.text_sources import texts_of
from acdc.zoo import zoo_path

SMALL = {"site": "resid_post.0", "width": 16, "batch": 32, "tokens": 320, "length": 16}
TEXT = "When Mary and John went to the store , John gave a drink to Mary . " * 40


@pytest.fixture(scope="module")
def model() -> PatchableModel:
    return PatchableModel.from_pretrained(zoo_path("acdc-small"))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def test_several_sparsities_are_trained_at_once_and_compared(model: PatchableModel, tmp_path: Path) -> None:
    found = train_dictionary(
        model, ["ioi", "induction"], tmp_path / "sae", k=[4, 2], variant="batchtopk", prompts=40, **SMALL
    )
    assert [each.folder.name for each in found.found] == ["k2", "k4"]
    frame = found.frame()
    assert list(frame["k"]) == [2, 4] and (frame["ce_model"] == frame["ce_model"][0]).all()
    for each in found.found:
        assert {path.name for path in each.folder.iterdir()} == {
            "README.md", "cfg.json", "report.json", "sae_weights.safetensors", "training.csv", "training.svg",
        }  # fmt: skip
        again = load(each.folder, model=model)
        x = torch.randn(5, again.d_in)
        torch.testing.assert_close(again.encode(x), each.dictionary.encode(x))
        report = json.loads((each.folder / "report.json").read_text())
        assert report["fidelity"]["l0"] == each.fidelity.l0 and report["recipe"]["width"] == 16
        assert sum(row["n_features"] for row in report["histogram"]) == 16
    assert {path.name for path in (tmp_path / "sae").iterdir()} == {"comparison.csv", "training.svg", "k2", "k4"}
    with pytest.raises(ACDCError, match="holds a dictionary already; give another folder"):
        train_dictionary(model, "ioi", found.found[0].folder, k=2, **SMALL)


def test_a_set_of_transcoders_is_trained_at_once_and_read_as_one(model: PatchableModel, tmp_path: Path) -> None:
    options: dict = SMALL | {"site": ["mlp_in.0", "mlp_in.3"], "writes": "mlp_out", "skip": True, "prompts": 40}
    found = train_dictionary(model, "ioi", tmp_path / "set", k=[2, 3], **options)
    assert [str(each.folder.relative_to(tmp_path)) for each in found.found] == [
        "set/k2/mlp_in.0", "set/k3/mlp_in.0", "set/k2/mlp_in.3", "set/k3/mlp_in.3",
    ]  # fmt: skip
    assert list(found.frame()["writes"]) == ["mlp_out.0", "mlp_out.0", "mlp_out.3", "mlp_out.3"]
    dictionaries = load_set(tmp_path / "set" / "k3", model=model)
    assert [str(each.reads) for each in dictionaries] == ["mlp_in.0", "mlp_in.3"]
    assert all(each.skip is not None and not each.is_sae for each in dictionaries)
    card = (tmp_path / "set" / "k3" / "README.md").read_text()
    command = (
        f"acdc train-dictionary ioi --model {model.name} --site mlp_in.0 --site mlp_in.3 --writes mlp_out --variant "
        "topk --width 16 --k 2 --k 3 --skip --tokens 320 --batch 32 --length 16 --prompts 40 --save set"
    )
    assert command in card and "[mlp_in.3 to mlp_out.3](mlp_in.3)" in card
    assert command in (found.found[0].folder / "README.md").read_text()
    assert {path.name for path in (tmp_path / "set").iterdir()} == {"comparison.csv", "training.svg", "k2", "k3"}


def test_sites_without_a_layer_are_those_of_all_layers(model: PatchableModel) -> None:
    reads = sites_asked(model, "mlp_in")
    assert [str(site) for site in reads] == [f"mlp_in.{layer}" for layer in range(4)]
    assert [str(site) for site in written_asked(model, reads, "mlp_out") or ()] == [f"mlp_out.{i}" for i in range(4)]
    assert written_asked(model, reads, None) is None
    some = sites_asked(model, ["mlp_in.2", Site(1, "resid_mid")])
    assert written_asked(model, some, ["mlp_out.3", "mlp_out.1"]) == (Site(3, "mlp_out"), Site(1, "mlp_out"))
    asked = {"sources": ["my text.txt"], "dtype": "torch.float64", "part": "test", "bos": False, "n_names": 3}
    asked |= {"dead_after": 50}
    recipes = [Recipe("jumprelu", width=8, k=2, rate=0.01)]
    places = places_of(model, reads, sites_asked(model, "mlp_out"))
    command = training_command(model, places, recipes, asked, {}, Path("a"))
    assert command.partition(" --model ")[0] == "acdc train-dictionary 'my text.txt'"
    assert command.partition(f" --model {model.name} ")[2] == (
        "--site mlp_in --writes mlp_out --variant jumprelu --width 8 --k 2 --rate 0.01 --dead-after 50 --split "
        "test --no-bos --dtype float64 --task-option n_names=3 --save a"
    )


def test_json_lines_and_data_sets_are_texts(
    model: PatchableModel, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = tmp_path / "text.jsonl"
    lines.write_text("".join(json.dumps({"text": sentence}) + "\n" for sentence in [TEXT, "", TEXT]))
    options = {"tokens": 10**6, "length": 16, "seed": 0}
    train, held_out = texts_of(model, [str(lines)], **options)
    once, _ = texts_of(model, [str(text)], **options)
    assert train.n > 1.9 * once.n and held_out.n == pytest.approx(train.n / 9, abs=1)
    rows = {"train": [{"text": TEXT}] * 2}
    fake = SimpleNamespace(load_dataset=lambda name, config, split, streaming: rows[split])
    monkeypatch.setitem(sys.modules, "datasets", fake)
    assert torch.equal(texts_of(model, ["hf:stories"], **options)[0].clean, train.clean)
    few, _ = texts_of(model, ["hf:stories"], **options | {"tokens": 64})
    assert few.n * 16 < 150
    with pytest.raises(ACDCError, match=r"datasets can't read 'stories' \(valid\): 'valid'"):
        texts_of(model, ["hf:stories"], part="valid", **options)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ACDCError, match=r"hf:stories needs the package datasets: pip install"):
        texts_of(model, ["hf:stories"], **options)
    lines.write_text('{"text": "Mary went"}\n{"body": "John went"}\n')
    with pytest.raises(ACDCError, match=r"line 2 has no text under 'text'; it has body"):
        texts_of(model, [str(lines)], **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"site": "resid_post.9"}, r"no site resid_post\.9: it has 4 layers"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"k": 17}, "k must be at most the width of the dictionary, 16 features, not 17"),
        ({"length": 1}, "a window must have at least 2 tokens, not 1"),
        ({"length": 60, "short": True}, "at least two windows of 60 are needed"),
        ({"empty": True}, "the text is empty"),
        ({"batch": 0}, "batch and buffer must be at least 1 token, not 0 and"),
        ({"part": "test"}, r"the part 'test' \(--split\) is one of a data set"),
        ({"key": "body"}, r"'body' \(--key\) is of rows of a data file or a data set, and none is named"),
        ({"corruption": "abc"}, "corruption: these are options of a task, and none is named"),
        ({"prompts": 7}, "prompts, 7: these are options of a task"),
        ({"tokens": 8}, "tokens, 8, must be at least those of a batch, 32"),
        ({"skip": True}, "an SAE with a skip connection would copy what it reads"),
    ],
)
def test_bad_input_is_told_in_a_line(
    model: PatchableModel, text: Path, tmp_path: Path, options: dict, said: str
) -> None:
    options = dict(options)
    if options.pop("short", False):
        text.write_text(TEXT[:60])
    if options.pop("empty", False):
        text.write_text("")
    with pytest.raises(ACDCError, match=said):
        train_dictionary(model, str(text), tmp_path / "sae", **{"k": 2} | SMALL | options)


def test_the_state_of_another_training_is_not_overwritten(
    model: PatchableModel, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acdc.features.training.course.EVERY", -1.0)
    monkeypatch.setattr("acdc.features.training.course.TIMES", 0)

    def stop(progress: object) -> None:
        if (tmp_path / "sae" / "training.safetensors").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_dictionary(model, str(text), tmp_path / "sae", k=2, progress=stop, **SMALL)
    with pytest.raises(ACDCError, match=r"training\.safetensors is of another training: ask for the same one"):
        train_dictionary(model, str(text), tmp_path / "sae", k=3, **SMALL)
    again = train_dictionary(model, str(text), tmp_path / "sae", k=2, **SMALL).found[0].dictionary
    whole = train_dictionary(model, str(text), tmp_path / "whole", k=2, **SMALL).found[0].dictionary
    assert torch.equal(again.encoder, whole.encoder) and torch.equal(again.decoder[:], whole.decoder[:])
    assert not (tmp_path / "sae" / "training.safetensors").exists()


def test_a_share_of_next_to_nothing_is_not_given() -> None:
    of = {"l0": 1.0, "fvu": 0.1, "fvu_usual": 0.1, "cosine": 0.9, "norm": 0.9}
    of |= {"n_tokens": 10, "n_outliers": 0, "n_predicted": 9}
    found = Fidelity(**of, density=torch.tensor([0.0, 0.2]), ce_model=2.0, ce_zero=2.001, ce_dictionary=2.0)
    assert found.ce_recovered is None and found.alive == 0.5
    found = Fidelity(**of, density=torch.tensor([0.0, 0.2]), ce_model=2.0, ce_zero=4.0, ce_dictionary=2.5)
    assert found.ce_recovered == 0.75
    assert list(found.histogram()["n_features"])[:1] == [1] and int(found.histogram()["n_features"].sum()) == 2
