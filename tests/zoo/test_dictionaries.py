"""The bundled dictionaries are of bundled models, small, found by name, and about as good as their cards say."""

import json

import pytest

from acdc.features.fidelity import measure_fidelity
from acdc.features.formats import load_set
from acdc.models import PatchableModel
from acdc.runs.text_sources import texts_of
from acdc.zoo import dictionary_names, dictionary_path, dictionary_summary


@pytest.mark.parametrize("name", dictionary_names())
def test_a_bundled_dictionary_does_what_its_report_says(name: str) -> None:
    reports = [json.loads(path.read_text()) for path in sorted(dictionary_path(name).rglob("report.json"))]
    model = PatchableModel.from_pretrained(reports[0]["model"]["name"])
    dictionaries = load_set(name, model=model)
    sites = [str(dictionary.reads) for dictionary in dictionaries]
    assert name == f"{model.name}.{sites[0] if len(sites) == 1 else 'transcoders'}" and dictionary_summary(name)
    assert sum(path.stat().st_size for path in dictionary_path(name).rglob("*")) < 1e6 * len(sites)
    task = reports[0]["training"]["sources"][0]
    _, held_out = texts_of(model, [task], tokens=1, length=64, seed=0, prompts=200)
    measured = measure_fidelity(model, dictionaries, held_out)
    for site, report, found in zip(sites, reports, measured, strict=True):
        assert report["reads"] == site and found.l0 <= report["recipe"]["k"] and found.fvu < 0.5


@pytest.mark.parametrize("model", ["acdc-small", "acdc-tasks"])
def test_a_bundled_set_has_a_transcoder_for_every_layer(model: str) -> None:
    loaded = PatchableModel.from_pretrained(model)
    found = load_set(f"{model}.transcoders", model=loaded)
    assert [each.reads.layer for each in found] == [*range(loaded.graph.n_layers)]
    assert {(each.reads.kind, each.writes[0].kind, each.is_sae) for each in found} == {("mlp_in", "mlp_out", False)}
