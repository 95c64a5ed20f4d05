"""`acdc steer`: a direction of the residual stream added to held-out prompts, dose against effect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.reloading import Force, OtherDevice, OtherDtype, TrustTask
from acdc.cli.terminal import (
    Bos,
    Debug,
    DeviceMap,
    Json,
    Offload,
    Quiet,
    Revision,
    TaskOption,
    TrustRemoteCode,
    hush,
    options_of_task,
    placing,
    say,
    table,
    tell_found,
)
from acdc.errors import RunError, printable
from acdc.options.defaults import N_FOR_DIRECTIONS, N_STEERED, OUT, SEED

if TYPE_CHECKING:
    from acdc.runs.steering import SteeredRun

__all__ = ["steer"]

STRENGTHS = "-1,0,0.5,1,2"


@app.command()
def steer(
    what: Annotated[
        str,
        typer.Argument(metavar="TASK|RUN", help="A task (`acdc tasks`), or a run's folder: its model and task."),
    ],
    model: Annotated[
        str | None, typer.Option(help="A bundled model, a local folder, or a hub name. [default: the task's or run's]")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="What the direction is about: answer, order or side. [default: the first that fits]"),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Before which block it is added. [default: where that hurts some prompts most]")
    ] = None,
    place: Annotated[
        str | None,
        typer.Option(help="Where in the prompt: a span, or 'first change', 'last change', end. [default: likewise]"),
    ] = None,
    strengths: Annotated[
        str, typer.Option(metavar="LIST", help="Multiples of the difference of the classes' means.")
    ] = STRENGTHS,
    metric: Annotated[str | None, typer.Option(help="What is measured. [default: the task's or run's]")] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="Held-out prompt pairs that are steered.")] = N_STEERED,
    n_fitted: Annotated[
        int, typer.Option(help="Discovery prompts whose means the direction joins.")
    ] = N_FOR_DIRECTIONS,
    seed: Annotated[int, typer.Option(help="Seed of the prompts and of the random direction.")] = SEED,
    task_option: TaskOption = None,
    bos: Bos = None,
    dtype: OtherDtype = None,
    device: OtherDevice = None,
    device_map: DeviceMap = None,
    offload: Offload = False,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    trust_task: TrustTask = False,
    force: Force = False,
    out: Annotated[
        Path | None, typer.Option(help="Where files are kept. [default: the run's folder, or outputs]")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Add a direction to the residual stream of held-out prompts with each strength, take it out, and say what that
    does to the metric and to neutral text; beside it a random direction of the same length.

    acdc steer ioi --model smollm2 --label order
    """
    options: dict[str, Any] = {"label": label, "layer": layer, "place": place, "strengths": _doses(strengths)}
    options |= {"metric": metric, "n": n, "n_fitted": n_fitted, "seed": seed, "bos": bos, "revision": revision}
    options |= {"device_map": placing(device_map, offload), "trust_remote_code": trust_remote_code}
    options |= {name: value for name, value in (("dtype", dtype), ("device", device)) if value is not None}
    of_task, is_run = options_of_task(task_option), Path(what).is_dir()
    if not is_run and (trust_task or force):
        raise RunError("--trust-task and --force are about a run that is loaded again; leave them out of a task's")
    hush()
    from acdc.runs.steering import steer as run
    from acdc.runs.steering import steer_run

    options["progress"] = not (quiet or as_json)
    if is_run:
        options |= {"model": model, "task_options": of_task or None, "trust_task": trust_task, "force": force}
        found = steer_run(what, out=out, **options)
    else:
        found = run(model, what, out=out or OUT, task_options=of_task, **options)
    tell_found(found, _tell, as_json, quiet)


def _doses(words: str) -> list[float]:
    """The numbers between commas.

    Raises:
        RunError: One is no number.
    """
    try:
        return [float(word) for word in words.split(",") if word.strip()]
    except ValueError:
        raise RunError(f"--strengths takes numbers, like {STRENGTHS}, not {printable(words, 60)!r}") from None


def _tell(found: "SteeredRun") -> None:
    """The direction, and a row for each strength; the random direction beside it."""
    from acdc.evaluation.numbers import number
    from acdc.interpret.telling import interval

    own = found.found[0]
    direction = own.direction
    first, second = direction.classes
    say(f"{direction.what}, label {direction.label!r}: from {first!r} to {second!r}; {own.site}")
    say(f"{own.n_prompts} held-out prompts, pushed away from their own class; {own.n_neutral or 'no'} neutral texts")
    if shared := found.record["n_shared"]:
        say(f"{shared} of the prompts are among those that the direction was made of: the task has no others")
    mine, random = found.tables
    heads, columns = ["strength", own.metric, "random direction"], [mine.metric, random.metric]
    rows = [["taken out" if dose is None else f"{dose:g}"] for dose in mine.strengths]
    for row, *found_there in zip(rows, *columns, strict=True):
        row += [interval(each) for each in found_there]
    if own.n_neutral:
        heads += ["neutral KL", "random"]
        for row, *moved in zip(rows, mine.neutral_kl, random.neutral_kl, strict=True):
            row += [number(each) for each in moved]
    table(heads, rows)
    for note in found.record["notes"]:
        say(note)
