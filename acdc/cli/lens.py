"""`acdc lens`: what a model's residual stream says, layer by layer, of one prompt; and the training of a tuned lens."""

import shutil
import sys
from dataclasses import replace
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
    TrustRemoteCode,
    aligned,
    dump,
    hush,
    placing,
    say,
    table,
    warn,
)
from acdc.errors import RunError
from acdc.options.defaults import DEVICE, DTYPE, SEED

if TYPE_CHECKING:
    from acdc.interpret.lenses import LensReading
    from acdc.models import PatchableModel

__all__ = ["lens"]

TOP = 5  # tokens of a row
WIDTH, LEAST = 14, 0.01  # letters of a column; probability from which on a token is printed
NOTE = "A lens shows what can be read at a place, not what the model uses of it: it is no intervention."


@app.command()
def lens(
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="A text; left out with --train.")] = None,
    model: Annotated[str | None, typer.Option(help="A bundled model, a local folder, or a hub name.")] = None,
    answer: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The token to follow, like ' Paris'. [default: what the model says]"),
    ] = None,
    tuned: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Read by this tuned lens (config.json, params.pt).")
    ] = None,
    positions: Annotated[
        bool, typer.Option("--positions", help="The most probable token at every position, not the last one's table.")
    ] = False,
    mid: Annotated[bool, typer.Option("--mid", help="Also between attention and MLP.")] = False,
    top: Annotated[int | None, typer.Option(help="How many of the most probable tokens. [default: 5]")] = None,
    draw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A heat map of all positions: .svg, .png or .pdf.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="A table of all positions.")] = None,
    train: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT_FILE", help="Train a tuned lens on this text, a task's prompts, or 'random' tokens."
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the trained lens is saved.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the training. [default: 250]")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of each step. [default: 1024]")] = None,
    length: Annotated[int | None, typer.Option(min=2, help="Tokens of a window of the text. [default: 128]")] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Seed of the order in which windows are taken. [default: {SEED}]")
    ] = None,
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
    """Print what each residual stream would say of PROMPT's next token (logit lens, or --tuned), or --train a lens."""
    given = {"steps": steps, "tokens": tokens, "length": length, "seed": seed}
    settings = {name: value for name, value in given.items() if value is not None}
    of_prompt: dict[str, object] = {"--answer": answer, "--tuned": tuned, "--draw": draw, "--csv": csv, "--top": top}
    of_prompt |= {"--mid": mid or None, "--positions": positions or None}
    _check(prompt, model, train, save, of_prompt, settings)
    if draw is not None:
        from acdc.evaluation.figures import check_ending

        check_ending(draw)
    hush()
    from acdc.runs.model_spec import ModelSpec

    where: dict[str, Any] = {"device_map": placing(device_map, offload), "trust_remote_code": trust_remote_code}
    loaded = ModelSpec.of(model, dtype=dtype, device=device, revision=revision, **where).load()
    if train is not None and save is not None:
        _train(loaded, train, save, settings | {"bos": bos}, as_json, quiet)
        return
    assert prompt is not None
    reading = _read(
        loaded,
        prompt,
        answer,
        tuned,
        mid,
        top,
        bos,
        not (quiet or as_json),
        draw or csv or positions,
    )
    files = _write(reading, draw, csv)
    _tell(reading, loaded.name, prompt, positions, files, as_json)


def _check(
    prompt: str | None,
    model: str | None,
    train: str | None,
    save: Path | None,
    of_prompt: dict[str, object],
    of_training: dict[str, int],
) -> None:
    """Refuse what doesn't go together, before anything is loaded.

    Raises:
        RunError: It doesn't.
    """
    if model is None:
        raise RunError("name the model (--model); acdc models lists the bundled ones")
    if (prompt is None) == (train is None):
        raise RunError("give either a prompt to read, or a text to train a lens on (--train FILE --save FOLDER)")
    if (train is None) != (save is None):
        raise RunError("--train and --save go together: the text, and the folder in which the lens is saved")
    unused = [flag for flag, value in of_prompt.items() if value is not None] if train is not None else []
    unused += [f"--{name}" for name in of_training] if train is None else []
    if unused:
        raise RunError(f"{', '.join(unused)} can't be used {'with' if train else 'without'} --train; leave it out")


def _read(
    model: "PatchableModel",
    prompt: str,
    answer: str | None,
    tuned: Path | None,
    mid: bool,
    top: int | None,
    bos: bool | None,
    show: bool,
    by_position: object,
) -> "LensReading":
    from acdc.interpret.lenses import LOGIT_LENS, load_tuned_lens, read_lens
    from acdc.progress.bars import shown
    from acdc.prompts.answers import answer_ids, doubtful_answers
    from acdc.prompts.texts import text_batch

    lens = LOGIT_LENS if tuned is None else load_tuned_lens(tuned).of(model)
    batch = text_batch([prompt], model.tokenizer, bos=bos, name="prompt")
    answers = None
    if answer is not None:
        answers = batch.clean.new_tensor(answer_ids([answer], model.tokenizer, "--answer"))
        for doubtful in doubtful_answers(prompt, [answer], model.tokenizer):
            warn(f"the answer {doubtful!r} has no space before it; ' {doubtful}' is a token too")
    with shown(show) as tell:
        return read_lens(
            model,
            batch,
            lens=lens,
            mid=mid,
            top=TOP if top is None else top,
            answers=answers,
            by_position=bool(by_position),
            progress=tell,
        )


def _write(reading: "LensReading", draw: Path | None, csv: Path | None) -> list[Path]:
    from acdc.drawing import draw_heat_map, lens_map
    from acdc.files import write_csv
    from acdc.prompts.tokens import pieces

    heat, answer = lens_map(reading.section(0)), pieces(reading.tokenizer, reading.answers[0].tolist())[0]
    files = [] if draw is None else [draw_heat_map(replace(heat, unit=f"probability of {answer!r}"), draw)]
    return files if csv is None else [*files, write_csv(csv, reading.frame())]


def _tell(reading: "LensReading", model: str, prompt: str, positions: bool, files: list[Path], as_json: bool) -> None:
    from acdc.prompts.tokens import pieces

    (decided,) = reading.decided()
    answer = pieces(reading.tokenizer, reading.answers[0].tolist())[0]
    if as_json:
        told = {"model": model, "prompt": prompt, "answer": answer, "decided": decided}
        dump(told | reading.section(0).model_dump() | {"files": list(map(str, files))})
        return
    if positions:
        _grid(reading)
    else:
        _table(reading, answer)
    if decided is None:
        say(f"{answer!r} is not what {model} says at the end.")
    else:
        say(f"From {decided} on, {answer!r} is the most probable token.")
    say(NOTE)
    for path in files:
        say(f"  {path}")


def _table(reading: "LensReading", answer: str) -> None:
    """The last position, a residual stream a row."""
    last = reading.rank.shape[2] - 1
    rows = [[reading.kind, f"rank of {answer!r}", "p", "KL", "entropy", "most probable tokens"]]
    for i, name in enumerate(reading.rows):
        best, *others = reading.top(i, 0, last)
        listed = ", ".join(f"{token!r} {p:.0%}" for token, p in (best, *(each for each in others if each[1] >= LEAST)))
        numbers = (reading.rank, reading.probability, reading.kl, reading.entropy)
        rank, p, kl, entropy = (x[i, 0, last].item() for x in numbers)
        rows.append([name, f"{rank:,}", f"{p:.1%}", f"{kl:.2f}", f"{entropy:.2f}", listed])
    aligned(rows)


def _grid(reading: "LensReading") -> None:
    """The most probable token at all positions, a position a row; as many residual streams as the terminal has room
    for."""
    from acdc.drawing.heat_map import shown_token

    room, n = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize, len(reading.rows)
    fits = min(n, max(2, room // WIDTH - 1))
    chosen = [round(i * (n - 1) / (fits - 1)) for i in range(fits)]
    rows = [["", *(reading.rows[i] for i in chosen)]]
    for column, label in zip(reading.columns(0), reading.labels(0), strict=True):
        rows.append([shown_token(label), *(shown_token(reading.top(i, 0, column)[0][0]) for i in chosen)])
    aligned(rows)
    if fits < n:
        say(f"{fits} of {n} residual streams; --csv and --draw have them all")


def _train(
    model: "PatchableModel", source: str, folder: Path, settings: dict[str, Any], as_json: bool, quiet: bool
) -> None:
    from acdc.runs.lens_training import train_lens

    found = train_lens(model, source, folder, progress=not (quiet or as_json), **settings)
    if as_json:
        dump(found.frame().to_dict("list") | {"n_tokens": found.n_tokens, "n_held_out": found.n_held_out})
        return
    if quiet:
        return
    rows = [
        [f"resid_pre {row.layer}", f"{row.logit_lens:.3f}", f"{row.tuned_lens:.3f}"]
        for row in found.frame().itertuples()
    ]
    table(["KL from the model's output, held out", "logit lens", "tuned lens"], rows)
    say(f"trained on {found.n_tokens:,} tokens, measured on {found.n_held_out:,} others\n  {folder}")
