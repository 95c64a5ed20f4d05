"""A model that computes more than the weights that are read of it is refused, by the module's name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from acdc.errors import ModelError
from acdc.models import PatchableModel
from acdc.models.bypassed import modules_read
from acdc.patching.activations import run
from tests.configs import CONFIGS
from tests.tiny import NumberTokenizer, tiny_batch, tiny_model


def live(family: str = "llama-gqa") -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(CONFIGS[family]()).eval()


def refused(hf: Any) -> str:
    with pytest.raises(ModelError) as caught:
        PatchableModel(hf, NumberTokenizer())
    return str(caught.value)


class Wrapped(nn.Module):
    """As LoRA, DoRA and packed layers wrap one: it shows the weight, and computes something else."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer, self.in_features, self.out_features = base, base.in_features, base.out_features
        self.down, self.up = nn.Linear(base.in_features, 2, bias=False), nn.Linear(2, base.out_features, bias=False)

    @property
    def weight(self) -> Tensor:
        return self.base_layer.weight

    @property
    def bias(self) -> Tensor:
        return self.base_layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + self.up(self.down(x))


class Bare(Wrapped):
    """One that shows no weight."""

    weight = None  # type: ignore[assignment]


@pytest.mark.parametrize("wrapper", [Wrapped, Bare])
@pytest.mark.parametrize("name", ["q_proj", "k_proj", "v_proj", "o_proj"])
def test_wrapped_projections_are_named(name: str, wrapper: type[Wrapped]) -> None:
    hf = live()
    attn = hf.model.layers[1].self_attn
    setattr(attn, name, wrapper(getattr(attn, name)))
    message = refused(hf)
    assert f"'model.layers.1.self_attn.{name}'" in message and f"test_bypassed.{wrapper.__name__}" in message


@pytest.mark.parametrize(
    ("family", "place"),
    [
        ("gpt2", "transformer.h.0.attn.c_attn"),
        ("gpt2", "transformer.h.2.attn.c_proj"),
        ("neox-parallel", "gpt_neox.layers.0.attention.dense"),
        ("falcon-gqa", "transformer.h.1.self_attention.query_key_value"),
        ("gemma2", "model.layers.0.post_attention_layernorm"),
        ("llama", "lm_head"),
        ("llama", "model.layers.0.self_attn"),
        ("llama", "model.layers.0"),
        ("llama", "model"),
    ],
)
@pytest.mark.parametrize("way", ["forward", "pre", "replaced"])
def test_hooks_on_what_is_never_called_are_named(family: str, place: str, way: str) -> None:
    hf = live(family)
    module = hf.get_submodule(place)
    if way == "forward":
        module.register_forward_hook(lambda module, args, out: None)
    elif way == "pre":
        module.register_forward_pre_hook(lambda module, args: None)
    else:
        module.forward = module.forward
    message = refused(hf)
    assert repr(place) in message and ("replaced" if way == "replaced" else "it has a hook") in message


def test_the_model_s_own_hooks_are_named_too() -> None:
    hf = live()
    hf.register_forward_hook(lambda module, args, out: None)
    assert "'the model' is taken apart" in refused(hf)


def test_parametrised_and_retyped_weights_are_named() -> None:
    hf = live()
    parametrizations.weight_norm(hf.model.layers[0].self_attn.k_proj)
    assert "'model.layers.0.self_attn.k_proj'" in refused(hf)
    hf = live()
    module = hf.model.layers[0].self_attn.v_proj
    module.weight = nn.Parameter(module.weight.to(torch.int8), requires_grad=False)
    assert "of torch.int8" in refused(hf)


def test_what_is_called_may_be_wrapped_and_hooked() -> None:
    """Norms, MLPs and embeddings are called as they are, so that whatever is done there is part of the model."""
    hf = live("llama")
    layer = hf.model.layers[0]
    layer.mlp.down_proj = Wrapped(layer.mlp.down_proj)
    layer.mlp.register_forward_hook(lambda module, args, out: out * 2)
    layer.input_layernorm.register_forward_pre_hook(lambda module, args: (args[0] * 1.5,))
    hf.model.embed_tokens.register_forward_hook(lambda module, args, out: out + 1)
    model, batch = PatchableModel(hf.double(), NumberTokenizer()), tiny_batch()
    torch.testing.assert_close(run(model, batch, batch.clean).logits, model.reference_logits(batch))


def test_hooks_by_which_transformers_records_are_no_change() -> None:
    hf = live()
    hf(torch.tensor([[1, 2]]), output_hidden_states=True, output_attentions=True)
    assert PatchableModel(hf, NumberTokenizer()).graph.n_layers == 2


@pytest.mark.parametrize("family", CONFIGS)
def test_every_weight_that_is_read_belongs_to_a_declared_module(family: str) -> None:
    model = tiny_model(family)
    declared = {
        parameter.untyped_storage().data_ptr()
        for _, module in modules_read(model.hf, model.family.reads)
        for parameter in module.parameters()
    }
    attention = model.components.blocks[0].attention
    for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"):
        view = getattr(attention, name)
        copied = family in ("falcon-gqa", "falcon-one-norm") and name == "W_Q"
        assert view is None or copied or view.untyped_storage().data_ptr() in declared, name


# -- PEFT


@pytest.fixture
def adapted(tmp_path: Path) -> tuple[Path, Any]:
    """An adapter's folder beside its base model's, and the live model with the adapter on top."""
    peft = pytest.importorskip("peft")
    base = live()
    base.save_pretrained(tmp_path / "base")
    NumberWords().save_pretrained(tmp_path / "base")
    base.config._name_or_path = str(tmp_path / "base")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "o_proj"], init_lora_weights=False)
    hf = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base"), config).eval()
    hf.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", hf


def NumberWords() -> transformers.PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(50)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0")


def test_an_adapter_s_folder_is_its_base_model_with_the_adapter_merged(adapted: tuple[Path, Any]) -> None:
    folder, hf = adapted
    model, batch = PatchableModel.from_pretrained(folder, dtype="float64"), tiny_batch(lengths=(7,))
    assert model.name == str(folder)
    with torch.no_grad():
        expected = hf.double()(batch.clean).logits[:, -1]
        base = PatchableModel.from_pretrained(folder.parent / "base", dtype="float64")
    ours = run(model, batch, batch.clean).logits
    torch.testing.assert_close(ours, expected, atol=1e-10, rtol=0)
    assert (ours - run(base, batch, batch.clean).logits).abs().max() > 1e-3, "the adapter matters"


def test_an_adapter_on_top_of_a_live_model_is_refused(adapted: tuple[Path, Any]) -> None:
    _, hf = adapted
    assert "self_attn.q_proj' can't be read as a weight: it is a peft.tuners.lora.layer.Linear" in refused(hf)
    assert "merge_and_unload()" in refused(hf.base_model.model)


def test_an_adapter_without_peft_names_it(adapted: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.models.adapter.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs the package peft: pip install peft"):
        PatchableModel.from_pretrained(adapted[0])


def test_adapters_that_cannot_be_used_are_told(adapted: tuple[Path, Any]) -> None:
    folder, _ = adapted
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ModelError, match="'base_model_name_or_path'"):
        PatchableModel.from_pretrained(folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"has no adapter_model\.safetensors"):
        PatchableModel.from_pretrained(folder)
