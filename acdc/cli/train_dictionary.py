"""`acdc train-dictionary`: sparse autoencoders and transcoders on a model's activations."""

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
    from acdc.runs.dictionary_training import TrainedDictionaries

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
        str,
        typer.Option(
            metavar="SITE",
            help="What is read, with its layer: resid_pre, resid_mid, resid_post, attn_out, mlp_in, mlp_out, z: "
            "resid_post.5",
        ),
    ],
    save: Annotated[Path, typer.Option(metavar="FOLDER", help="Where it is saved.")],
    writes: Annotated[
        str | None,
        typer.Option(
            metavar="SITE", help="What a transcoder writes: --site mlp_in.5 --writes mlp_out.5. [default: SAE]"
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
    """Train a sparse autoencoder, or a transcoder, on what a model holds at a site.

    It is saved in SAELens's format (a transcoder with TopK in sparsify's), with report.json, training.csv, a picture
    and a card. The same command goes on with a training that was stopped.
    """
    from acdc.features.sites import Site
    from acdc.features.training.variants import VARIANTS

    VARIANTS.find(variant)
    read, written = Site.parse(site), None if writes is None else Site.parse(writes)
    given: dict[str, Any] = {"tokens": tokens, "batch": batch, "buffer": buffer, "length": length, "rate": rate}
    given |= {"prompts": prompts, "part": part, "key": key, "width": width, "bos": bos, "k": k or None}
    settings = {name: value for name, value in given.items() if value is not None} | options_of_task(task_option)
    hush()
    from acdc.runs.dictionary_training import train_dictionary
    from acdc.runs.model_spec import ModelSpec

    where: dict[str, Any] = {"device_map": placing(device_map, offload), "trust_remote_code": trust_remote_code}
    loaded = ModelSpec.of(model, dtype=dtype, device=device, revision=revision, **where).load()
    found = train_dictionary(
        loaded,
        sources,
        save,
        site=read,
        writes=written,
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
    rows = []
    for each in found.found:
        it = each.fidelity
        recovered = "-" if it.ce_recovered is None else f"{it.ce_recovered:.1%}"
        numbers = [f"{it.l0:.1f}", f"{it.fvu:.3f}", recovered, f"{it.alive:.1%}", f"{it.cosine:.3f}"]
        rows.append([str(each.training.recipe.k), *numbers])
    table(["k", "L0", "FVU", "CE recovered", "alive", "cosine"], rows)
    say(
        f"{dictionary.name}, {dictionary.n_features:,} features, trained on {first.training.n_tokens:,} tokens; "
        f"measured on {fidelity.n_tokens:,} held out. CE recovered of {fidelity.n_predicted:,} predicted ones: 0 is "
        f"the site set to zero ({fidelity.ce_zero:.3f} nats a token), 100% the model ({fidelity.ce_model:.3f})."
    )
    for each in found.found:
        say(f"  {each.folder}")
