"""`acdc push`: a feature pushed by several doses, on a task beside a control, or in what follows a prompt."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
    dump,
    hush,
    options_of_task,
    placing,
    say,
    table,
)
from acdc.errors import RunError
from acdc.options.defaults import DEVICE, DTYPE, N_CONTINUED, N_STEERED, OUT, SEED

if TYPE_CHECKING:
    from acdc.runs.pushed_prompt import Continuations
    from acdc.runs.pushing import PushedRun

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
    of_task = {"metric": metric, "n": n, "seed": seed, "task_options": options_of_task(task_option) or None}
    of_prompt = {"n_tokens": n_tokens}
    asked, others = (of_task, of_prompt) if prompt is None else (of_prompt, of_task)
    _check_left_out(others, "--task" if prompt is None else "--prompt")
    hush()
    from acdc.runs.pushed_prompt import push_on_prompt
    from acdc.runs.pushing import push_on_task

    options: dict[str, Any] = {"kind": kind, "site": site, "bos": bos, "dtype": dtype, "device": device, "out": out}
    options |= {"device_map": placing(device_map, offload), "revision": revision}
    options |= {"trust_remote_code": trust_remote_code, "progress": not (quiet or as_json)}
    options |= {name: value for name, value in asked.items() if value is not None}
    if prompt is None:
        on_task = push_on_task(dictionary, feature, model, task, dose or (), **options)
        _told(on_task.to_dict(), on_task.files, as_json, None if quiet else partial(_tell, on_task))
    else:
        texts = push_on_prompt(dictionary, feature, model, prompt, dose or (), **options)
        _told(texts.to_dict(), texts.files, as_json, None if quiet else partial(_tell_texts, texts))


def _check_left_out(options: Mapping[str, Any], where: str) -> None:
    """Raise `RunError` where options are given that say nothing there."""
    if given := [name for name, value in options.items() if value is not None]:
        flags = ", ".join(f"--{name.replace('_', '-').replace('options', 'option')}" for name in given)
        raise RunError(f"{flags} can't be used with {where}")


def _told(found: dict[str, Any], files: Sequence[Path], as_json: bool, tell: Callable[[], None] | None) -> None:
    if as_json:
        dump(found | {"files": [str(path) for path in files]})
        return
    if tell is not None:
        tell()
    for path in files:
        say(f"  {path}")


def _tell(found: "PushedRun") -> None:
    """A row for each dose; the control beside it."""
    from acdc.evaluation.numbers import number
    from acdc.interpret.telling import interval

    own, control = found.tables
    doses = found.own
    fires = (
        f"fires on {found.density:.2%} of their tokens, at most {found.largest:.3g}" if found.largest else "is silent"
    )
    say(f"{own.direction} of {found.record['dictionary']['name']} ({own.site}), by {doses.kind}")
    say(f"{doses.n_prompts} held-out prompts, on which it {fires}; {doses.n_neutral or 'no'} neutral texts")
    say(f"control: {found.control_what}, pushed by the same doses")
    heads, columns = ["dose", own.metric_name, "control"], [own.metric, control.metric]
    rows = [["nothing" if dose is None else f"{dose:g}"] for dose in own.strengths]
    for row, *there in zip(rows, *columns, strict=True):
        row += [interval(each) for each in there]
    if doses.n_neutral:
        heads += ["neutral KL", "control"]
        for row, *moved in zip(rows, own.neutral_kl, control.neutral_kl, strict=True):
            row += [number(each) for each in moved]
    table(heads, rows)
    for note in found.record["notes"]:
        say(note)


def _tell_texts(found: "Continuations") -> None:
    record = found.record
    largest = f"its largest activation is {found.largest:.3g}" if found.largest else "it is silent"
    say(f"feature {record['feature']} of {record['dictionary']['name']}, by {record['kind']}; on the prompt {largest}")
    aligned([["dose", "what follows"], *([row.dose, repr(row.text)] for row in found.frame().itertuples())])
