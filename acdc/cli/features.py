"""`acdc features`: a dictionary's features in a list; `acdc feature`: one feature's card."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.feature_cards import tell_card
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
from acdc.errors import RunError, unknown_name
from acdc.options.defaults import DEVICE, DTYPE, OUT, SEED

if TYPE_CHECKING:
    from acdc.features.reading import FoundRule
    from acdc.runs.features.reading import Read

__all__ = ["feature", "features"]

TOP, EXAMPLES = 20, 5
SORTS = {"feature": True, "density": False, "act_max": False, "act_mean": False, "entropy": True, "token_share": False}

Named = Annotated[
    str, typer.Argument(metavar="DICT", help="A folder, a name on the hub, or the file of an earlier reading.")
]
ModelName = Annotated[str | None, typer.Option("--model", help="The model: a bundled one, a folder, or a hub name.")]
Text = Annotated[
    Path | None, typer.Option("--text", metavar="FILE", help="Read on this text, or on a data file's column `text`.")
]
TaskName = Annotated[str | None, typer.Option("--task", help="Read on this task's prompts.")]
Number = Annotated[int | None, typer.Option("--n", "-n", min=1, help="How many of its prompts. [default: 500]")]
Length = Annotated[int | None, typer.Option(min=2, help="Tokens of a window of the text. [default: 128]")]
Tokens = Annotated[int | None, typer.Option(min=1, help="Tokens of the text at most. [default: 1,000,000]")]
SiteName = Annotated[
    str | None, typer.Option("--site", help="Where it reads, like resid_post.5, if its files don't say.")
]
Out = Annotated[Path, typer.Option(help="Where readings are kept, in the folder `features`.")]
Seed = Annotated[int | None, typer.Option(help=f"Seed of random examples and of prompts. [default: {SEED}]")]


@app.command()
def features(
    dictionary: Named,
    model: ModelName = None,
    text: Text = None,
    task: TaskName = None,
    n: Number = None,
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Only those that fire on this token, like ' Mary'.")
    ] = None,
    after: Annotated[str | None, typer.Option(metavar="TOKEN", help="Only those that fire after it.")] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Which fire on this prompt, where, and how strongly.")
    ] = None,
    sort: Annotated[str | None, typer.Option(help=f"By {', '.join(SORTS)}. [default: act_max]")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many to list.")] = TOP,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all of them into this file.")] = None,
    length: Length = None,
    tokens: Tokens = None,
    site: SiteName = None,
    seed: Seed = None,
    out: Out = Path(OUT),
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
    """List a dictionary's features: read on a text or a task once, and from the kept file afterwards."""
    if sort is not None and sort not in SORTS:
        raise unknown_name("order (--sort)", sort, SORTS)
    if sum(each is not None for each in (token, after, prompt, sort)) > 1:
        raise RunError("--token, --after and --prompt bring their own order: give one of them, and no --sort")
    if prompt is not None and (text is not None or task is not None):
        raise RunError("--prompt reads the prompt alone: leave --text and --task out")
    if prompt is not None and model is None:
        raise RunError("name the model that is to read the prompt (--model)")
    loading = _loading(dtype, device, placing(device_map, offload), revision, trust_remote_code)
    if prompt is not None:
        hush()
        _tell_prompt(dictionary, model, prompt, site, bos, loading, top, csv, as_json)
        return
    asked = {"n": n, "length": length, "most": tokens, "site": site, "seed": seed, "bos": bos}
    read = _read(dictionary, model, text, task, asked, out, task_option, loading, not (quiet or as_json))
    _tell_list(read, token, after, sort or "act_max", top, csv, as_json)


@app.command()
def feature(
    dictionary: Named,
    indices: Annotated[list[int], typer.Argument(metavar="INDEX...", help="The features' numbers.")],
    model: ModelName = None,
    text: Text = None,
    task: TaskName = None,
    n: Number = None,
    examples: Annotated[int, typer.Option(min=0, help="How many windows to print of each kind.")] = EXAMPLES,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the cards into this page, with all windows.")
    ] = None,
    length: Length = None,
    tokens: Tokens = None,
    site: SiteName = None,
    seed: Seed = None,
    out: Out = Path(OUT),
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
    """Show features' cards: where they fire, a rule with its test, what they write, and their neighbours."""
    loading = _loading(dtype, device, placing(device_map, offload), revision, trust_remote_code)
    asked = {"n": n, "length": length, "most": tokens, "site": site, "seed": seed, "bos": bos}
    read = _read(dictionary, model, text, task, asked, out, task_option, loading, not (quiet or as_json))
    from acdc.features.reading import card_of
    from acdc.files import plain as strict
    from acdc.report.feature_page import write_feature_page

    cards = [card_of(read.reading, index) for index in indices]
    pages = [] if html is None else [write_feature_page(html, read.reading, cards)]
    if as_json:
        dump(strict({"about": asdict(read.reading.about), "features": [asdict(card) for card in cards]}))
        return
    for card in cards:
        tell_card(read.reading, card, examples)
    for path in (*pages, read.path):
        say(f"  {path}")


def _loading(
    dtype: str, device: str, device_map: str | None, revision: str | None, trust_remote_code: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {"dtype": dtype, "device": device, "device_map": device_map}
    return found | {"revision": revision, "trust_remote_code": trust_remote_code}


def _read(
    dictionary: str,
    model: str | None,
    text: Path | None,
    task: str | None,
    asked: dict[str, Any],
    out: Path,
    task_option: list[str] | None,
    loading: dict[str, Any],
    progress: bool,
) -> "Read":
    """Read the features, or take what was read before where neither a text nor a task is named."""
    from acdc.runs.features.reading import read_on, saved_reading

    options = {name: value for name, value in asked.items() if value is not None}
    if text is None and task is None:
        if options or task_option:
            flags = ", ".join(f"--{'tokens' if name == 'most' else name}" for name in options) or "--task-option"
            raise RunError(f"{flags} can't be used without a text or a task to read the features on (--text, --task)")
        return saved_reading(dictionary, model=model, out=out)
    if model is None:
        raise RunError("name the model that is to read the text (--model); acdc models lists the bundled ones")
    if task is not None and {"length", "most"} & options.keys():
        raise RunError("--length and --tokens are about a text; a task's prompts are read as they are")
    if text is not None and ("n" in options or task_option):
        raise RunError("--n and --task-option are about a task's prompts; leave them out with --text")
    made = options_of_task(task_option)
    hush()  # it brings in the libraries that load a model, for which a list of what is kept doesn't wait
    return read_on(
        dictionary, model, text=text, task=task, out=out, task_options=made, progress=progress, **options, **loading
    )


def _tell_list(
    read: "Read", token: str | None, after: str | None, sort: str, top: int, csv: Path | None, as_json: bool
) -> None:
    from acdc.features.reading import rule_of
    from acdc.files import plain as strict
    from acdc.files import write_csv

    reading = read.reading
    frame = reading.frame()
    fires = frame[frame.fires > 0]
    if token is not None or after is not None:
        asked, before = token or after or "", int(token is None)
        frame = frame.assign(share=reading.share_of(asked, before=before))
        listed = frame.iloc[reading.on_token(asked, before=before)]
    else:
        listed = fires.sort_values(sort, ascending=SORTS[sort], kind="stable")
    files = [] if csv is None else [write_csv(csv, listed)]
    rules = {int(index): rule_of(reading, int(index)) for index in listed.feature[:top]}
    if as_json:
        told = [row | {"rule": _told(rules[row["feature"]])} for row in listed[:top].to_dict("records")]
        counts = {"n_features": len(frame), "n_fire": len(fires)}
        dump(strict({"about": asdict(reading.about), **counts, "features": told}))
        return
    searched = "share" in frame
    heads = ["feature", *(["share"] if searched else []), "density", "largest", "entropy", "fires on", "raises"]
    rows = [[*heads, "detection", "rule"]]
    for row in listed[:top].itertuples():
        rule = rules[row.feature]
        text, tested = ("", "") if rule is None else (rule.text, _detected(rule))
        numbers = [str(row.feature), *([f"{row.share:.0%}"] if searched else []), f"{row.density:.2%}"]
        numbers += [f"{row.act_max:.3g}", f"{row.entropy:.1f}"]
        rows.append([*numbers, f"{row.token!r} {row.token_share:.0%}", repr(row.raises), tested, text])
    aligned(rows)
    about = reading.about
    if searched:
        say(
            f"share: of {asked!r} in a sample of the tokens {'before those ' if before else ''}on which a feature fires"
        )
    say(
        f"{len(rows) - 1} of {len(listed):,}; {len(fires):,} of {len(frame):,} features fire on {about.corpus} "
        f"({about.n_tokens:,} tokens, {about.model}, {about.site}). Detection: balanced accuracy of the rule on "
        "windows that it was not found on, chance 0.5; t: on tokens, where it fires in nearly every window."
    )
    for path in (*files, read.path):
        say(f"  {path}")


def _detected(rule: "FoundRule") -> str:
    from acdc.report.feature_page import accuracy

    return accuracy(rule.test.detection) + (" t" if rule.test.over == "tokens" else "")


def _told(rule: "FoundRule | None") -> dict[str, Any] | None:
    return None if rule is None else asdict(rule)


def _tell_prompt(
    dictionary: str,
    model: str | None,
    prompt: str,
    site: str | None,
    bos: bool | None,
    loading: dict[str, Any],
    top: int,
    csv: Path | None,
    as_json: bool,
) -> None:
    from acdc.features.reading import features_on
    from acdc.files import write_csv
    from acdc.runs.features.dictionaries import open_dictionary

    loaded, found = open_dictionary(dictionary, model, site=site, **loading)
    frame = features_on(loaded, found, prompt, bos=bos).frame()
    files = [] if csv is None else [write_csv(csv, frame)]
    behind = frame[frame.position > 0]  # on the first token all that is largest fires, and says nothing of the text
    listed = behind if len(behind) else frame
    if as_json:
        dump({"model": loaded.name, "prompt": prompt, "features": listed[:top].to_dict("records")})
        return
    rows = [[str(r.feature), f"{r.activation:.3g}", str(r.position), repr(r.token)] for r in listed[:top].itertuples()]
    aligned([["feature", "activation", "position", "token"], *rows])
    left_out = len(frame) - len(listed)
    say(
        f"{len(rows)} of {len(listed):,} activations"
        + (f"; {left_out:,} on the first token, which say nothing of the text, are in --csv alone" if left_out else "")
    )
    for path in files:
        say(f"  {path}")
