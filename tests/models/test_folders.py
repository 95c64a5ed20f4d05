"""Model folders that are wrong: the message names the field or the tensor, and nothing large is built for it."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from acdc.errors import ACDCError, ModelError
from acdc.models import PatchableModel
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch, PromptPair
from tests.configs import CONFIGS, VOCAB


@pytest.fixture(scope="session", params=["gpt2", "llama-gqa"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model that can be used."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(CONFIGS[request.param]()).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCAB)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


def use(folder: Path) -> PatchableModel:
    """Load the model and run it both ways."""
    model = PatchableModel.from_pretrained(folder)
    batch = PromptBatch.from_pairs([PromptPair([1, 2, 3], [1, 4, 3], [5], [6])], model.tokenizer)
    problem = Problem.make(model, batch, metric="kl", ablation="corrupt", seed=0)
    assert problem.clean.logits.shape == model.reference_logits(batch).shape
    return model


def refused(folder: Path) -> str:
    """What is said of the folder, soon."""
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        use(folder)
    message = str(caught.value)
    assert time.monotonic() - start < 10 and "\n" not in message and len(message) < 600
    return message


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_the_folder_can_be_used(whole: Path) -> None:
    assert use(whole).graph.n_heads in (2, 4)


NAMES = {  # of the same field
    "gpt2": {"layers": "n_layer", "heads": "n_head", "width": "n_embd", "positions": "n_positions"},
    "llama": {
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "width": "hidden_size",
        "positions": "max_position_embeddings",
    },
}


@pytest.mark.parametrize("value", [10**9, 10**30, -1, 0, "3", 1.5, True, [3], {}, float("nan")])
@pytest.mark.parametrize("field", ["layers", "heads", "width", "positions"])
def test_sizes_out_of_bounds_are_named(folder: Path, field: str, value: Any) -> None:
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    name = NAMES[kind][field]
    change_config(folder, **{name: value})
    if field == "positions" and value == 10**9:
        value = 10**30
        change_config(folder, **{name: value})
    message = refused(folder)
    assert ("NaN is not a number" if value != value else repr(name)) in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 10**9}, "'vocab_size': input should be less than or equal to 100000000, not 1000000000"),
        ({"vocab_size": VOCAB + 1}, f"has the shape [{VOCAB}, "),
        ({"model_type": None}, "'model_type'"),
        ({"model_type": "x" * 10**6}, "'model_type'"),
        ({"model_type": "nonsense"}, "nonsense"),
    ],
)
def test_fields_of_every_family_are_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    change_config(folder, **changes)
    assert message in refused(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[]", "holds no JSON object but a list"),
        (b"null", "holds no JSON object"),
        (b"{}", "'model_type'"),
        (b'{"a": 1, "a": 2}', "has the key 'a' twice"),
        (b"\xff\xfe", "no UTF-8"),
        (b"[" * 10**5, "is nested too deeply"),
        (b'{"model_type": "gpt2", "n_layer": NaN}', "NaN is not a number"),
        (b'{"' + b"k" * 10**6 + b'": 1}', "has a key of 1,000,000 letters"),
    ],
)
def test_a_config_that_is_none_is_told(folder: Path, content: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(content)
    told = refused(folder)
    assert message in told and "config.json" in told


def test_heads_that_do_not_divide_are_told(folder: Path) -> None:
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    change_config(folder, **({"n_head": 3} if kind == "gpt2" else {"num_key_value_heads": 3, "head_dim": 8}))
    assert ("16" if kind == "gpt2" else "4 heads can't share 3 keys and values") in refused(folder)


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def first(tensors: dict[str, torch.Tensor]) -> str:
    """A matrix of the first layer."""
    return next(name for name, tensor in sorted(tensors.items()) if ".0." in name and tensor.ndim == 2)


def test_a_tensor_of_another_shape_is_named_with_both(folder: Path) -> None:
    names: list[str] = []

    def cut(tensors: dict[str, torch.Tensor]) -> None:
        names.append(first(tensors))
        tensors[names[0]] = tensors[names[0]][:-1].clone()

    before = list(load_file(folder / "model.safetensors").items())
    change_weights(folder, cut)
    shape = list(dict(before)[names[0]].shape)
    message = refused(folder)
    assert f"{[shape[0] - 1, shape[1]]} in the file" in message and f"asks for {shape}" in message
    assert names[0] in message


def test_a_missing_tensor_is_named(folder: Path) -> None:
    names: list[str] = []

    def drop(tensors: dict[str, torch.Tensor]) -> None:
        names.append(first(tensors))
        del tensors[names[0]]

    change_weights(folder, drop)
    message = refused(folder)
    assert names[0] in message and "is missing from the file" in message and "of shape [" in message


def test_weights_of_more_layers_than_the_config_s_are_told(folder: Path) -> None:
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    change_config(folder, **{NAMES[kind]["layers"]: 1}, layer_types=None)
    assert "and the config has only 1 layers" in refused(folder)


def test_a_tensor_that_is_used_nowhere_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_weights(folder, lambda tensors: tensors.update(value_head=torch.zeros(2)))
    use(folder)
    assert "1 tensors of the file are used nowhere, like 'value_head'" in caplog.text


def test_weights_that_are_whole_numbers_are_told(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.update({first(tensors): tensors[first(tensors)].to(torch.int8)}))
    message = refused(folder)
    assert "whole numbers (I8)" in message and ".0." in message


@pytest.mark.parametrize("size", [0, 4, 8, 100, 1000])
def test_cut_off_weights_are_told(folder: Path, size: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    assert "damaged or cut off" in refused(folder)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ('{"weight_map": {"a.weight": "model-00001-of-00002.safetensors"}}', "'model-00001-of-00002.safetensors'"),
        ('{"weight_map": {"a.weight": "../model.safetensors"}}', "there is no such file in the folder"),
        ('{"weight_map": {"a.weight": 3}}', "'weight_map.a.weight'"),
        ('{"weight_map": {}}', "'weight_map'"),
        ("{}", "'weight_map'"),
        ("[", "is not JSON"),
    ],
)
def test_an_index_of_weights_that_are_not_there_is_told(folder: Path, index: str, message: str) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(index)
    assert message in refused(folder)


def test_a_damaged_tokenizer_is_told(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": 3}')
    assert "can't be loaded" in refused(folder)


# -- fuzz

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.integers(-3, 70),
    st.floats(allow_nan=False),
    st.text(max_size=10),
    st.lists(st.integers(-2, 5), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


def fuzz(whole: Path, folder: Path, data: st.DataObject) -> None:
    """A config with one to three fields changed, dropped or added is used or refused in a line."""
    config = json.loads((whole / "config.json").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from([*sorted(config), "head_dim", "rope_theta", "rope_scaling", "layer_types"]))
        if data.draw(st.integers(0, 4)):
            config[key] = data.draw(JUNK)
        else:
            config.pop(key, None)
    (folder / "config.json").write_text(json.dumps(config))
    start = time.monotonic()
    try:
        use(folder)
    except ACDCError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
    assert time.monotonic() - start < 30


FUZZ = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=20, **FUZZ)  # type: ignore[arg-type]
@given(data=st.data())
def test_changed_configs_are_used_or_refused(whole: Path, folder: Path, data: st.DataObject) -> None:
    fuzz(whole, folder, data)


@pytest.mark.slow
@settings(max_examples=250, **FUZZ)  # type: ignore[arg-type]
@given(data=st.data())
def test_many_changed_configs_are_used_or_refused(whole: Path, folder: Path, data: st.DataObject) -> None:
    fuzz(whole, folder, data)
