"""The bundled dictionaries are of bundled models, small, found by name, and about as good as their cards say."""

import json

import pytest

from acdc.features.fidelity import measure_fidelity
from acdc.features.formats import load
from acdc.models import PatchableModel
from acdc.runs.text_sources import texts_of
from acdc.zoo import dictionary_names, dictionary_path, dictionary_summary


@pytest.mark.parametrize("name", dictionary_names())
def test_a_bundled_dictionary_does_what_its_report_says(name: str) -> None:
    report = json.loads((dictionary_path(name) / "report.json").read_text())
    model = PatchableModel.from_pretrained(report["model"]["name"])
    dictionary = load(name, model=model)
    assert name == f"{model.name}.{dictionary.reads}" and dictionary_summary(name)
    assert sum(path.stat().st_size for path in dictionary_path(name).iterdir()) < 1e6
    task = report["training"]["sources"][0]
    _, held_out = texts_of(model, [task], tokens=1, length=64, seed=0, prompts=200)
    (found,) = measure_fidelity(model, [dictionary], held_out)
    assert found.l0 <= report["recipe"]["k"] and found.fvu < 0.5
