"""`acdc contrast`: the features that tell two sets of prompts apart, tested on prompts that were held out."""

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
from acdc.options.defaults import DEVICE, DTYPE, N_CONTRASTED, OUT, SEED, TOP_CONTRASTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acdc.features.acting import Ablated
    from acdc.runs.features.contrasting import ContrastRun

__all__ = ["contrast"]

SOURCE = "a text with a prompt a line, or a data file's column `text`"


@app.command()
def contrast(
    dictionary: Annotated[
        str, typer.Argument(metavar="DICT", help="A folder, a bundled dictionary (`acdc models`), or a hub name.")
    ],
    first: Annotated[str | None, typer.Argument(metavar="FIRST", help=f"Prompts: {SOURCE}.")] = None,
    second: Annotated[str | None, typer.Argument(metavar="SECOND", help="Those that they are compared with.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A bundled model, a local folder, or a hub name. [default: the task's]")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Instead of files: this task's prompts.")] = None,
    wrong_against_right: Annotated[
        bool,
        typer.Option("--wrong-against-right", help="Of the task, those answered wrong against those answered right."),
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(
            help="What is right: accuracy, top1_accuracy (the most probable token of all), or metric (the best quarter "
            "by the task's metric, the worst being wrong). [default: accuracy]"
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Of the task: what answers are measured by. [default: the task's]")
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Ablate the features that hold, and say what that changes.")
    ] = False,
    where: Annotated[
        str, typer.Option(help="Each prompt's largest activation (max), or that at its last token (last).")
    ] = "max",
    top: Annotated[int, typer.Option(help="How many features are tested.")] = TOP_CONTRASTED,
    n: Annotated[int, typer.Option("--n", "-n", help="Prompts of each file at most, or of the task.")] = N_CONTRASTED,
    seed: Annotated[int, typer.Option(help="Seed of prompts, and of the halves: one chooses, one tests.")] = SEED,
    site: Annotated[
        str | None, typer.Option(help="Where the dictionary reads, like resid_post.5, if its files don't say.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where folders are made, and readings of features are.")] = Path(OUT),
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
    """Find the features that tell two sets of prompts apart on one half of each, test them on the other, and say
    whether the model's answers depend on them (--ablate).

    acdc contrast my-sae refused.txt answered.txt --model smollm2
    """
    options: dict[str, Any] = {
        "where": where,
        "top": top,
        "ablate": ablate,
        "n": n,
        "seed": seed,
        "site": site,
        "out": out,
    }
    options |= {
        "bos": bos,
        "dtype": dtype,
        "device": device,
        "device_map": placing(device_map, offload),
        "revision": revision,
    }
    options |= {"trust_remote_code": trust_remote_code, "progress": not (quiet or as_json)}
    of_task = options_of_task(task_option)
    _check_sets(first, second, task, wrong_against_right, bool(of_task or by or metric))
    hush()
    from acdc.runs.features.contrasting import contrast_files, contrast_wrong

    if task is not None:
        options |= {"task_options": of_task, "metric": metric, **({} if by is None else {"by": by})}
        found = contrast_wrong(dictionary, model, task, **options)
    else:
        found = contrast_files(dictionary, model, first or "", second or "", **options)
    tell_found(found, _tell, as_json, quiet)


def _check_sets(
    first: str | None, second: str | None, task: str | None, wrong_against_right: bool, has_options: bool
) -> None:
    """Raise `RunError` unless two files are named, or a task and what of it is compared."""
    if task is not None and first is not None:
        raise RunError("name either two files of prompts or a task (--task), not both")
    if task is None and (first is None or second is None):
        raise RunError("name two files of prompts, or a task (--task NAME --wrong-against-right)")
    if wrong_against_right != (task is not None):
        raise RunError("--task and --wrong-against-right go together: the task's wrong answers against its right ones")
    if has_options and task is None:
        raise RunError("--task-option, --by and --metric are about a task's prompts; leave them out with files")


def _tell(run: "ContrastRun") -> None:
    """A row for each feature, and how they were tested; then what ablating those that hold does."""
    found, (first, second) = run.found, run.record["sets"]
    say(f"first: {first} ({run.record['n_prompts'][0]} prompts); second: {second} ({run.record['n_prompts'][1]})")
    for note in run.record["notes"]:
        say(note)
    if not found.rows:
        say("no feature differs between the two")
        return
    heads = ["feature", "fires on first", "on second", "difference", "means' difference", "p", "holds", "largest on"]
    rows = [[*heads, *(["detection", "rule"] if run.read_on else [])]]
    rows += [_cells(run, i) for i in range(len(found.rows))]
    aligned(rows)
    what = "largest activations" if found.first.where == "max" else "activations at the last token"
    say(
        f"{sum(row.holds for row in found.rows)} of {len(found.rows)} hold: the means of {what} differ on "
        f"{found.first.batch.n} and {found.second.batch.n} prompts that chose no feature. p is adjusted: "
        "that any feature holds by chance has a probability of at most 5%. Intervals: 95% each."
    )
    if run.read_on:
        say(f"rules: of what the features fire on in {run.read_on}; detection: balanced accuracy, chance 0.5")
    else:
        say("rules: none, for the features were not read on a text yet (acdc features DICT --model M --text FILE)")
    if run.ablated:
        _tell_ablated(run.ablated, run.record["metric"])
    elif run.ablated is not None:
        say("none was ablated, since none holds")


def _cells(run: "ContrastRun", i: int) -> list[str]:
    from acdc.evaluation.numbers import p_value
    from acdc.report.feature_page import accuracy

    row, rule, peaks = run.found.rows[i], run.rules[i], run.peaks(i)
    cells = [str(row.feature), f"{row.first.fires:.1%}", f"{row.second.fires:.1%}"]
    cells += [row.fires.signed(), row.difference.signed(), p_value(row.p), "yes" if row.holds else "no"]
    cells += [f"{peaks[0][0]!r} {peaks[0][1]:.0%}" if peaks else ""]
    if run.read_on:
        cells += ["", ""] if rule is None else [accuracy(rule.test.detection), rule.text]
    return cells


def _tell_ablated(ablated: "Sequence[Ablated]", metric: str | None) -> None:
    """What becomes of the answers, in the set in which each feature fires more."""
    from acdc.evaluation.numbers import p_value

    what = f"change of {metric}" if metric else "KL of the next token"
    heads = ["ablated", "in", what, "control's", "next token changed", *(["made right, wrong"] if metric else [])]
    rows = [[*heads, "p", "matters", "moves"]]
    for each in ablated:
        own, control = each.judged_by
        cells = [each.name, each.firing, *((x.metric or x.kl).signed() for x in (own, control))]
        cells += [f"{own.n_changed} of {own.n}", *([f"{own.n_right}, {own.n_wrong}"] if metric else [])]
        moved = " ".join(f"{text!r} {change:+.3f}" for text, change in own.moved)
        rows.append([*cells, p_value(each.p), "yes" if each.matters else "no", moved])
    say("")
    aligned(rows)
    say("set to 0, beside a similar feature or random directions; p that they change the answers by no more than these")
