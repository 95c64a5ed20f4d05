"""`acdc push`: a feature pushed by several doses, on a task beside a control, or in what follows a prompt."""

from collections.abc import Mapping
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
    aligned,
    hush,
    options_of_task,
    placing,
    say,
    tell_found,
)
from acdc.errors import RunError
from acdc.options.defaults import DEVICE, DTYPE, N_CONTINUED, N_STEERED, OUT, SEED

if TYPE_CHECKING:
    from acdc.runs.features.pushed_prompt import Continuations
    from acdc.runs.features.pushing import PushedRun

__all__ = ["push"]


@app.command()
def push(
    dictionary: Annotated[
        str, typer.Argument(metavar="DICT", help="A folder, a bundled dictionary (`acdc models`), or a hub name.")
    ],
    feature: Annotated[int, typer.Argument(metavar="FEATURE", help="The feature's number.")],
    model: Annotated[
        str | None, typer.Option(help="A bundled model, a local folder, or a hub name. [default: the task's]")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Push it on this task's held-out prompts, beside a control.")] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Or: say how the model goes on after this prompt.")
    ] = None,
    dose: Annotated[
        list[float] | None,
        typer.Option(metavar="NUMBER", help="How much, in the feature's own unit; may be given again."),
    ] = None,
    kind: Annotated[str, typer.Option(help="clamp (set the feature; 0 ablates it) or add.")] = "clamp",
    metric: Annotated[str | None, typer.Option(help="What is measured on the task. [default: the task's]")] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", help=f"Held-out prompts. [default: {N_STEERED}]")] = None,
    n_tokens: Annotated[
        int | None, typer.Option(help=f"Tokens that follow the prompt. [default: {N_CONTINUED}]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Seed of the prompts and of a random direction. [default: {SEED}]")
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Where the dictionary reads, like resid_post.5, if its files don't say.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where folders are made.")] = Path(OUT),
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
    """Push a feature by each dose: on a task's prompts and on neutral text, beside a similar feature or a random
    direction; or in what the model says after a prompt.

    acdc push acdc-small.resid_post.1 300 --task ioi --model acdc-small --dose 0 --dose 10
    """
    if (task is None) == (prompt is None):
        raise RunError("name either a task or a prompt to push the feature on (--task NAME, --prompt TEXT)")
    of_task = {"metric": metric, "n": n, "task_options": options_of_task(task_option) or None}
    of_prompt = {"n_tokens": n_tokens}
    asked, others = (of_task, of_prompt) if prompt is None else (of_prompt, of_task)
    _check_left_out(others, "--task" if prompt is None else "--prompt")
    hush()
    from acdc.runs.features.pushed_prompt import push_on_prompt
    from acdc.runs.features.pushing import push_on_task

    options: dict[str, Any] = {"kind": kind, "site": site, "bos": bos, "dtype": dtype, "device": device, "out": out}
    options |= {"device_map": placing(device_map, offload), "revision": revision}
    options |= {"trust_remote_code": trust_remote_code, "progress": not (quiet or as_json)}
    options |= {name: value for name, value in (*asked.items(), ("seed", seed)) if value is not None}
    if prompt is None:
        on_task = push_on_task(dictionary, feature, model, task, dose or (), **options)
        tell_found(on_task, _tell, as_json, quiet)
    else:
        texts = push_on_prompt(dictionary, feature, model, prompt, dose or (), **options)
        tell_found(texts, _tell_texts, as_json, quiet)


def _check_left_out(options: Mapping[str, Any], where: str) -> None:
    """Raise `RunError` where options are given that say nothing there."""
    if given := [name for name, value in options.items() if value is not None]:
        flags = ", ".join(f"--{name.replace('_', '-').replace('options', 'option')}" for name in given)
        raise RunError(f"{flags} can't be used with {where}")


def _tell(found: "PushedRun") -> None:
    """A row for each dose: what it changes, and what the control's same dose does."""
    own, (what, _) = found.own, found.pushed[0]
    fires = (
        f"fires on {found.density:.2%} of their tokens, at most {found.largest:.3g}" if found.largest else "is silent"
    )
    dictionary = found.record["dictionary"]
    say(f"{what} of {dictionary['name']} ({dictionary['writes']}), by {own.kind}")
    say(f"{own.n_prompts} held-out prompts, on which it {fires}; {own.n_neutral or 'no'} neutral texts")
    say(f"control: {found.control_what}, pushed by the same doses")
    heads = ["dose", *(["of largest"] if found.largest else []), own.metric, "change", "control's", "p"]
    heads += [*(["accuracy"] if own.rows[0].accuracy else []), *(["neutral KL", "control's"] if own.n_neutral else [])]
    ranked = sorted(range(len(own.rows)), key=lambda i: _rank(own.rows[i].dose, own.kind))
    aligned([[*heads, "moves"], *(_dose_cells(found, i) for i in ranked)])
    say("change: against nothing pushed, prompt by prompt; p: that feature and control change it alike")
    for note in found.record["notes"]:
        say(note)


def _rank(dose: float | None, kind: str) -> tuple[bool, float]:
    """Where a row stands: nothing pushed comes first, and among amounts that are added, where they are 0."""
    return (True, 0.0 if dose is None else dose) if kind == "add" else (dose is not None, dose or 0.0)


def _dose_cells(found: "PushedRun", i: int) -> list[str]:
    from acdc.evaluation.numbers import number, p_value

    row, control = found.own.rows[i], found.control.rows[i]
    cells = ["nothing" if row.dose is None else f"{row.dose:g}"]
    if found.largest:
        cells.append("" if row.dose is None else f"{row.dose / found.largest:.2g} x")
    cells.append(number(row.metric.value))
    cells += ["", "", ""] if row.dose is None else [row.change.signed(), control.change.signed(), p_value(found.p[i])]
    if row.accuracy is not None:
        cells.append("undefined" if row.accuracy.value is None else f"{row.accuracy.value:.1%}")
    if found.own.n_neutral:
        cells += [number(row.neutral_kl), number(control.neutral_kl)]
    return [*cells, " ".join(f"{token!r} {rise:+.3f}" for token, rise in row.moved)]


def _tell_texts(found: "Continuations") -> None:
    """What follows with each dose, and below it with the control's."""
    from acdc.evaluation.numbers import number

    record = found.record
    largest = f"its largest activation is {found.largest:.3g}" if found.largest else "it is silent"
    say(f"feature {record['feature']} of {record['dictionary']['name']}, by {record['kind']}; on the prompt {largest}")
    say(f"control: {found.control}, pushed by the same doses")
    rows = [["dose", "surprise", "what follows"]]
    for row in found.rows:
        dose = "nothing" if row.dose is None else f"{row.dose:g}"
        rows.append([dose, number(row.own.surprise), repr(row.own.text)])
        rows += [] if row.dose is None else [["  control", number(row.control.surprise), repr(row.control.text)]]
    aligned(rows)
    say("surprise: of what follows, to the model with nothing pushed, in nats a token; broken text has much more")
