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
    dump,
    hush,
    options_of_task,
    placing,
    say,
)
from acdc.errors import RunError
from acdc.options.defaults import DEVICE, DTYPE, N_CONTRASTED, OUT, SEED, TOP_CONTRASTED

if TYPE_CHECKING:
    from acdc.runs.contrasting import ContrastRun

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
    """Find the features that tell two sets of prompts apart on one half of each, and test them on the other.

    acdc contrast my-sae refused.txt answered.txt --model smollm2
    """
    options: dict[str, Any] = {"where": where, "top": top, "n": n, "seed": seed, "site": site, "out": out, "bos": bos}
    options |= {"dtype": dtype, "device": device, "device_map": placing(device_map, offload), "revision": revision}
    options |= {"trust_remote_code": trust_remote_code, "progress": not (quiet or as_json)}
    of_task = options_of_task(task_option)
    _check_sets(first, second, task, wrong_against_right, bool(of_task))
    hush()
    from acdc.runs.contrasting import contrast_files, contrast_wrong

    if task is not None:
        found = contrast_wrong(dictionary, model, task, task_options=of_task, **options)
    else:
        found = contrast_files(dictionary, model, first or "", second or "", **options)
    if as_json:
        dump(found.to_dict() | {"files": [str(path) for path in found.files]})
        return
    if not quiet:
        _tell(found)
    for path in found.files:
        say(f"  {path}")


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
        raise RunError("--task-option is about a task's prompts; leave it out with files")


def _tell(run: "ContrastRun") -> None:
    """A row for each feature, and how they were tested."""
    from acdc.report.feature_page import accuracy

    found, (first, second) = run.found, run.record["sets"]
    say(f"first: {first} ({run.record['n_prompts'][0]} prompts); second: {second} ({run.record['n_prompts'][1]})")
    for note in run.record["notes"]:
        say(note)
    if not found.rows:
        say("no feature differs between the two")
        return
    rows = [["feature", "first", "second", "difference", "holds", *(["detection", "rule"] if run.read_on else [])]]
    for row, rule in zip(found.rows, run.rules, strict=True):
        difference = f"{row.difference:+.3g} [{row.low:.3g}, {row.high:.3g}]"
        holds = "yes" if row.holds else "no"
        rows.append([str(row.feature), f"{row.first:.3g}", f"{row.second:.3g}", difference, holds])
        if run.read_on:
            rows[-1] += ["", ""] if rule is None else [accuracy(rule.test.detection), rule.text]
    aligned(rows)
    what = "largest activations" if found.where == "max" else "activations at the last token"
    say(
        f"{sum(row.holds for row in found.rows)} of {len(found.rows)} hold. Means of {what} on {found.n_first} and "
        f"{found.n_second} prompts that chose no feature; all intervals hold together with 95%."
    )
    if run.read_on:
        say(f"rules: of what the features fire on in {run.read_on}; detection: balanced accuracy, chance 0.5")
    else:
        say("rules: none, for the features were not read on a text yet (acdc features DICT --model M --text FILE)")
