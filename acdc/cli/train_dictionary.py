"""`acdc train-dictionary`: sparse autoencoders and transcoders on a model's activations."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.terminal import (
    Bos,
    Debug,
    Device,
    DeviceMap,
    Dtype,
    Json,
    Offload,
    Quiet,
    Revision,
    TaskOption,
    TrustRemoteCode,
    dump,
    hush,
    options_of_task,
    placing,
    say,
    table,
)
from acdc.options.defaults import DEVICE, DTYPE, SEED

if TYPE_CHECKING:
    from acdc.runs.features.trained_dictionaries import TrainedDictionaries

__all__ = ["train_dictionary"]


@app.command("train-dictionary")
def train_dictionary(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...",
            help="What is read: a text's file, JSON lines with a 'text' each, hf:NAME for a data set of Hugging Face, "
            "or a task, whose prompts are taken. Several are read together.",
        ),
    ],
    model: Annotated[str, typer.Option(help="A bundled model, a local folder, or a hub name.")],
    site: Annotated[
        list[str],
        typer.Option(
            metavar="SITE",
            help="What is read: resid_pre, resid_mid, resid_post, attn_out, mlp_in, mlp_out or z with its layer, "
            "resid_post.5; without it at every layer. May be repeated: the model runs once for all.",
        ),
    ],
    save: Annotated[Path, typer.Option(metavar="FOLDER", help="Where it is saved.")],
    writes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE",
            help="What a transcoder writes: --site mlp_in.5 --writes mlp_out.5, or mlp_out, at each site's layer. "
            "[default: SAE]",
        ),
    ] = None,
    variant: Annotated[str, typer.Option(help="topk, batchtopk, jumprelu or matryoshka.")] = "topk",
    width: Annotated[
        int | None, typer.Option(help="Number of features. [default: 8 for each dimension that is read]")
    ] = None,
    k: Annotated[
        list[int] | None,
        typer.Option(help="Features of a token; given several times, a dictionary for each. [default: 32]"),
    ] = None,
    skip: Annotated[bool, typer.Option("--skip", help="A linear path beside a transcoder's features.")] = False,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens trained on, repeats included. [default: 1,000,000]")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Tokens of a step. [default: 1,024]")] = None,
    buffer: Annotated[
        int | None, typer.Option(help="Tokens that are shuffled together, and held in memory. [default: 32,768]")
    ] = None,
    length: Annotated[int | None, typer.Option(help="Tokens of a window of text. [default: 128]")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Highest learning rate. [default: 2e-4 / sqrt(width / 16,384)]")
    ] = None,
    dead_after: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS",
            help="A feature that is on in none of so many is dead, and revived. [default: a hundredth of all, at most "
            "10,000,000]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights and of the order of the tokens.")] = SEED,
    prompts: Annotated[int | None, typer.Option(help="Prompts of each task. [default: 2,000]")] = None,
    part: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Part of a data set. [default: train]")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where JSON lines or a data set have their text. [default: text]")
    ] = None,
    task_option: TaskOption = None,
    bos: Bos = None,
    dtype: Dtype = DTYPE,
    device: Device = DEVICE,
    device_map: DeviceMap = None,
    offload: Offload = False,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a sparse autoencoder, or a transcoder, on what a model holds at a site; or several, at several sites.

    It is saved in SAELens's format (a transcoder with TopK in sparsify's), with report.json, training.csv, a picture
    and a card. The same command goes on with a training that was stopped.
    """
    from acdc.features.sites import KINDS, Site
    from acdc.features.training.variants import VARIANTS

    VARIANTS.find(variant)
    for name in {*site, *(writes or ())} - {*KINDS}:
        Site.parse(name)
    given: dict[str, Any] = {"tokens": tokens, "batch": batch, "buffer": buffer, "length": length, "rate": rate}
    given["dead_after"] = dead_after
    given |= {"prompts": prompts, "part": part, "key": key, "width": width, "bos": bos, "k": k or None}
    settings = {name: value for name, value in given.items() if value is not None} | options_of_task(task_option)
    hush()
    from acdc.runs.features.training import train_dictionary
    from acdc.runs.model_spec import ModelSpec

    where: dict[str, Any] = {"device_map": placing(device_map, offload), "trust_remote_code": trust_remote_code}
    loaded = ModelSpec.of(model, dtype=dtype, device=device, revision=revision, **where).load()
    found = train_dictionary(
        loaded,
        sources,
        save,
        site=site,
        writes=writes or None,
        variant=variant,
        skip=skip,
        seed=seed,
        progress=not (quiet or as_json),
        **settings,
    )
    if as_json:
        dump({"dictionaries": found.frame().to_dict("records")})
    elif not quiet:
        _tell(found)


def _tell(found: "TrainedDictionaries") -> None:
    """What was measured on text held out, a dictionary a row."""
    first = found.found[0]
    dictionary, fidelity = first.dictionary, first.fidelity
    sites = len({each.dictionary.reads for each in found.found})
    outlying = any(each.fidelity.n_outliers for each in found.found)
    rows = []
    for each in found.found:
        it = each.fidelity
        recovered = "-" if it.ce_recovered is None else f"{it.ce_recovered:.1%}"
        fvus = [f"{it.fvu:.3f}", *([f"{it.fvu_usual:.3f}"] if outlying else [])]
        numbers = [f"{it.l0:.1f}", *fvus, recovered, f"{it.alive:.1%}", f"{it.cosine:.3f}"]
        rows.append([*([each.dictionary.name] if sites > 1 else []), str(each.training.recipe.k), *numbers])
    head = ["k", "L0", "FVU", *(["without outliers"] if outlying else []), "CE recovered", "alive", "cosine"]
    table(["site", *head] if sites > 1 else head, rows)
    name = dictionary.name if sites == 1 else f"{sites} sites"
    say(
        f"{name}, {dictionary.n_features:,} features, trained on {first.training.n_tokens:,} tokens; "
        f"measured on {fidelity.n_tokens:,} held out. CE recovered of {fidelity.n_predicted:,} predicted ones: 0 is "
        f"the site set to zero ({_range(each.fidelity.ce_zero for each in found.found)} nats a token), 100% the model "
        f"({fidelity.ce_model:.3f})."
    )
    if outlying:
        n = max(each.fidelity.n_outliers for each in found.found)
        say(f"Outliers, at most {n:,} tokens of a site, have more than 10 times the median norm.")
    for each in found.found:
        say(f"  {each.folder}")


def _range(values: Iterable[float]) -> str:
    """One number, or the least and the largest."""
    many = [*values]
    least, most = (f"{end:.3f}" for end in (min(many), max(many)))
    return least if least == most else f"{least} to {most}"
