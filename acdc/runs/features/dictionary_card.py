"""What stands beside a trained dictionary: report.json for programs, README.md, its card, for people."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from acdc.features.fidelity import Fidelity
from acdc.features.training.training import DictionaryTraining
from acdc.features.training.variants import VARIANTS
from acdc.files import write_atomically, write_json
from acdc.models import PatchableModel
from acdc.version import __version__

__all__ = ["CARD", "REPORT", "write_report", "write_set_card"]

REPORT, CARD = "report.json", "README.md"
DEFINITIONS = {
    "l0": "mean number of features above zero, a token",
    "fvu": "sum |y - y'|^2 / sum |y - mean y|^2 (as sparsify has it)",
    "fvu_usual": "the same without the n_outliers tokens whose norm is above 10 times the median one",
    "cosine": "mean cosine of y and its reconstruction",
    "norm": "mean |y'| / |y|; below 1: shrinkage",
    "alive": "share of features that are on at some of n_tokens tokens",
    "ce_recovered": "(ce_zero - ce_dictionary) / (ce_zero - ce_model), nats a token; ce_zero: the site set to zero",
}


def write_report(
    folder: Path, training: DictionaryTraining, fidelity: Fidelity, asked: dict[str, Any], model: PatchableModel
) -> None:
    """Write both files."""
    dictionary, measured = training.dictionary, fidelity.as_dict()
    sites = {"reads": str(dictionary.reads), "writes": [str(site) for site in dictionary.writes]}
    versions = {"acdc": __version__, "torch": torch.__version__, "transformers": transformers.__version__}
    told = {
        "model": {"name": model.name, "revision": model.revision},
        **sites,
        "recipe": asdict(training.recipe),
        "training": asked | {"n_tokens": training.n_tokens, "n_text": training.n_text},
        "fidelity": measured,
        "histogram": fidelity.histogram().to_dict("records"),
        "definitions": DEFINITIONS,
        "versions": versions,
    }
    write_json(folder / REPORT, told)
    write_atomically(folder / CARD, _card(training, measured, asked, model).encode())


def write_set_card(
    folder: Path,
    trainings: Sequence[DictionaryTraining],
    fidelities: Sequence[Fidelity],
    asked: dict[str, Any],
    model: PatchableModel,
) -> None:
    """Write the card of a set: dictionaries of one recipe at several sites."""
    recipe, first = trainings[0].recipe, trainings[0].dictionary
    what = "SAEs" if first.is_sae else f"transcoders{' with skip connections' * recipe.skip}"
    rows = []
    for training, fidelity in zip(trainings, fidelities, strict=True):
        names = ("l0", "fvu", "fvu_usual", "ce_recovered", "alive", "cosine")
        numbers = " | ".join(_number(fidelity.as_dict()[name]) for name in names)
        rows.append(f"| [{training.dictionary.name}]({training.dictionary.reads}) | {numbers} |")
    lines = [
        "---",
        f"tags: [{'sparse-autoencoder' if first.is_sae else 'transcoder'}, interpretability]",
        f"summary: {len(trainings)} {what}: {recipe.variant}, {recipe.width:,} features each, k {recipe.k}",
        "---",
        f"\n# {what[0].upper()}{what[1:]} of {model.name}\n",
        f"{recipe.variant}, {recipe.width:,} features and k = {recipe.k} at each site, trained together.",
        "Each folder has a card of its own.",
        f"\n    {asked['command']}",
        f"\n## On text held out, {fidelities[0].n_tokens:,} tokens\n",
        "| | L0 | FVU | FVU without outliers | CE recovered | alive | cosine |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "\nThe measures are defined in each card.",
    ]
    write_atomically(folder / CARD, ("\n".join(lines) + "\n").encode())


CROSS_ENTROPIES = {
    "ce_model": "of the model",
    "ce_dictionary": "with the reconstruction in the site's place",
    "ce_zero": "with zero there",
}


def _card(training: DictionaryTraining, measured: dict[str, Any], asked: dict[str, Any], model: PatchableModel) -> str:
    """The dictionary's card."""
    recipe, dictionary = training.recipe, training.dictionary
    variant = VARIANTS.find(recipe.variant)
    site = f"`{dictionary.reads}`" + ("" if dictionary.is_sae else f", writing `{dictionary.writes[0]}`")
    kind = "A sparse autoencoder" if dictionary.is_sae else f"A transcoder{' with a skip connection' * recipe.skip}"
    texts = ", ".join(f"`{Path(source).name}`" for source in asked["sources"])
    often = f"{training.n_text:,} tokens to train on, each taken {training.n_tokens / training.n_text:.1f} times"
    rows = [
        f"| {name}: {what.replace('|', chr(92) + '|')} | {_number(measured[name])} |"
        for name, what in DEFINITIONS.items()
    ]
    nats = ", ".join(f"{_number(measured[name])} {words}" for name, words in CROSS_ENTROPIES.items())
    lines = [
        "---",
        f"tags: [{'sparse-autoencoder' if dictionary.is_sae else 'transcoder'}, interpretability]",
        f"summary: {recipe.variant} of {dictionary.name}, {recipe.width:,} features, k {recipe.k}",
        "---",
        f"\n# {dictionary.name} of {model.name}\n",
        f"{kind} of {site} of `{model.name}`: {recipe.width:,} features, k = {recipe.k}.",
        f"{recipe.variant}: {variant.summary} ({variant.source}).",
        "\n## Training\n",
        f"    {asked['command']}\n",
        f"On {training.n_tokens:,} tokens: {asked['steps']:,} steps of {asked['batch']:,}, seed {asked['seed']}.",
        f"The text, {texts}, has {often}. Each text's first token is left out.",
        "Activations were scaled to a mean squared norm of 1; the scale is part of the weights.",
        "\n## On text held out\n",
        f"{measured['n_tokens']:,} tokens; {measured['n_predicted']:,} were predicted.",
        "\n| measure | |\n|---|---|",
        *rows,
        f"\nCross-entropy, nats a token: {nats}.",
        "\n![training](training.svg)",
    ]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "not given: zero ablation costs nothing" if value is None else f"{value:.4g}"
