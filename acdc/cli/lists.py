"""`acdc tasks`, `acdc models` and `acdc methods`: what there is."""

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acdc.cli.app import app
from acdc.cli.discover import FLAGS
from acdc.cli.one_prompt import Chat, ColumnNames, FirstToken, SkipBad, System, WholeAnswer, answers_of, of_file
from acdc.cli.terminal import (
    Bos,
    Debug,
    Device,
    Dtype,
    Json,
    Revision,
    TaskOption,
    TrustRemoteCode,
    dump,
    hush,
    options_of_task,
    say,
    table,
)
from acdc.errors import RunError
from acdc.options.defaults import DEVICE, DTYPE, N_EXAMPLES, SEED

if TYPE_CHECKING:
    from acdc.evaluation.predictions import Token
    from acdc.runs.preview import Example, Preview

__all__ = ["methods", "models", "tasks"]

ABLE = 0.9  # share of right answers from which on a bundled model is said to do a task


@app.command()
def tasks(
    name: Annotated[
        str | None,
        typer.Argument(help="A task, to see prompts of it: a name, path/to/file.py:Class, module:Class, a data file."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Show what this model makes of them. [default: only the default model's tokens]")
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="Number of prompt pairs.")] = N_EXAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of the prompts.")] = SEED,
    chat: Chat = False,
    system: System = None,
    whole_answer: WholeAnswer = False,
    first_token: FirstToken = False,
    columns: ColumnNames = None,
    skip_bad: SkipBad = False,
    task_option: TaskOption = None,
    bos: Bos = None,
    dtype: Dtype = DTYPE,
    device: Device = DEVICE,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the installed tasks, and how well the bundled models do them; with NAME, show prompts of that task.

    Tokens stand between bars. With --model, what it answers: the most probable tokens after each prompt.
    """
    if name is None:
        if model is not None or task_option or bos is not None or columns is not None or skip_bad:
            raise RunError(
                "--model, --task-option, --columns, --skip-bad and --bos show prompts of a task; name it: "
                "acdc tasks ioi --model M"
            )
        _installed(as_json)
        return
    of_task = options_of_task(task_option)
    of_task |= of_file(columns, skip_bad, chat, system, answers_of(whole_answer, first_token))
    hush()
    from acdc.runs.preview import preview, written

    if model is None:
        found = written(name, n=n, seed=seed, bos=bos, **of_task)
    else:
        loading: dict[str, Any] = {
            "dtype": dtype,
            "device": device,
            "revision": revision,
            "trust_remote_code": trust_remote_code,
        }
        found = preview(model, name, n=n, seed=seed, bos=bos, task_options=of_task, **loading)
    if as_json:
        dump(asdict(found))
        return
    _show(found)


def _show(found: "Preview") -> None:
    """The examples, a paragraph each."""
    before = "".join(found.before) or "nothing"
    say(f"{found.task}: {found.summary}\n{found.model}; put before a prompt: {before}")
    for note in found.notes:
        say(note)
    for i, example in enumerate(found.examples, 1):
        say(f"\n{i}. clean      {_bars(example.clean)}\n   corrupted  {_bars(example.corrupt)}")
        if example.spans:
            say(f"   spans      {_parts(example)}")
        wrong = f", not {_some(example.wrong)}" if example.wrong else ""
        say(f"   answer     {_some(example.correct)}{wrong}")
        if example.p_correct is not None:
            mark = "right" if example.right else f"not right: p(correct) {example.p_correct:.2g}"
            say(f"   {'model':<10} {_tokens(example.top['model'])} ({mark})")
            say(f"   {'corrupted':<10} {_tokens(example.top['corrupted'])}")
    if found.examples[0].right is not None:
        right = sum(bool(example.right) for example in found.examples)
        than = "right answers have more probability than wrong ones in"
        more = "" if found.better is None else f"; {than} {found.better:.0%}"
        say(f"\nA right answer is the most probable token in {right} of {len(found.examples)}{more}.")


def _parts(example: "Example") -> str:
    """The prompt cut into its spans, in the order of the text: `IO | Mary|  rest | and|`."""
    span_of = {token: name for name, tokens in example.spans.items() for token in tokens}
    cuts = groupby(range(len(example.clean)), key=span_of.__getitem__)
    return "  ".join(f"{name} {_bars([example.clean[token] for token in tokens])}" for name, tokens in cuts)


def _bars(tokens: Sequence[str]) -> str:
    return "".join(f"|{_escaped(token)}" for token in tokens) + "|"


def _escaped(text: str) -> str:
    """The text with its line breaks and tabs to be seen."""
    return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _some(answers: Sequence[str]) -> str:
    return "/".join(map(repr, answers[:5])) + (f" and {len(answers) - 5} more" if len(answers) > 5 else "")


def _tokens(top: "Sequence[Token]") -> str:
    return ", ".join(f"{each.token!r} {each.p:.2g}" for each in top)


def _installed(as_json: bool) -> None:
    """The installed tasks, and how well the bundled models do them."""
    from acdc.task import registered_tasks
    from acdc.zoo import zoo_scores

    measured = zoo_scores()
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "summary": kind.summary,
            "source": kind.source,
            "metric": kind.metric,
            "default_model": kind.default_model,
            "bundled": {model: found[name] for model, found in measured["scores"].items() if name in found},
        }
        for name, kind in registered_tasks().items()
    ]
    if as_json:
        dump([row | {"n": measured["n"], "seed": measured["seed"]} for row in rows])
        return
    for row in rows:
        _paragraph(f"{row['name']}: {row['summary']}", indent="")
        _paragraph(_models(row), indent="    ")
        _paragraph(row["source"], indent="    ")
    told = (
        f"Percentages: held-out prompts ({measured['n']} each) after which a right answer is the most probable token."
    )
    _paragraph(told, indent="")
    _paragraph("Your own: path/to/file.py:Class, or an entry point in the group 'acdc.tasks'.", indent="")
    _paragraph("Prompts of a task, and what a model answers: acdc tasks NAME --model MODEL.", indent="")


def _models(row: dict[str, Any]) -> str:
    """The default model and other bundled ones that do the task, with their accuracy."""
    default, bundled = row["default_model"], row["bundled"]
    shares = {model: f"{model} {scores['top1']:.1%}" for model, scores in bundled.items()}
    others = [shares[model] for model, scores in bundled.items() if model != default and scores["top1"] >= ABLE]
    first = shares.get(default, f"{default} (none of the bundled models does it)" if not others else default)
    return f"{first}{''.join(f', {other}' for other in others)}; metric {row['metric']}"


def _paragraph(text: str, indent: str) -> None:
    """The text, wrapped to the terminal."""
    width = min(shutil.get_terminal_size().columns, 100)
    say(textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent or "    "))


@app.command()
def models(as_json: Json = False, debug: Debug = False) -> None:
    """List the bundled models and dictionaries, real models that come as packages, and the supported families."""
    from acdc.models import FAMILIES
    from acdc.models.packaged import PACKAGED
    from acdc.zoo import dictionary_names, dictionary_summary, zoo_names, zoo_summary

    features = [
        {"name": name, "kind": "dictionary", "what": dictionary_summary(name), "checked": ""}
        for name in dictionary_names()
    ]
    bundled = [{"name": name, "kind": "bundled", "what": zoo_summary(name), "checked": ""} for name in zoo_names()]
    packaged = [
        {
            "name": model.name,
            "kind": "package",
            "what": f"{model.summary}: {'installed' if model.installed else model.command}",
            "checked": "logits, IOI",
        }
        for model in PACKAGED.values()
    ]
    families = [
        {"name": key, "kind": "family", "what": family.models, "checked": family.tested}
        for key, family in FAMILIES.items()
    ]
    _list(
        bundled + features + packaged + families,
        as_json,
        "A family is named by the model_type of a model's config.json; checked: what is compared with Hugging Face.",
    )


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A method, to list its options.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the discovery methods, the metrics and the ablations; with NAME, a method's options."""
    from acdc.discovery import METHODS
    from acdc.metrics import METRICS
    from acdc.patching.ablations import ABLATIONS

    if name is not None:
        _method(name, as_json)
        return
    rows = [
        {
            "name": method.name,
            "kind": "baseline" if method.baseline else "method",
            "what": f"{method.summary} ({method.source})",
        }
        for method in METHODS.values()
    ]
    rows += [{"name": metric.name, "kind": "metric", "what": metric.summary} for metric in METRICS.values()]
    rows += [{"name": ablation.name, "kind": "ablation", "what": ablation.summary} for ablation in ABLATIONS.values()]
    _list(rows, as_json, "A method's options: acdc methods NAME.")


def _method(name: str, as_json: bool) -> None:
    """A method's options with their defaults."""
    from acdc.discovery import get_method
    from acdc.options.ranges import described

    options = get_method(name).options
    rows = [
        {"option": f"{option.name}={option.default}", "takes": described(option.kind), "what": option.summary}
        for option in options.values()
    ]
    flags = ", ".join(flag for option, flag in FLAGS.items() if option in options)
    note = f"Give them as --option KEY=VALUE{f'; for short, {flags}' if flags else ''}."
    _list(rows, as_json, note)


def _list(rows: list[dict[str, str]], as_json: bool, note: str) -> None:
    if as_json:
        dump(rows)
        return
    headers = list(rows[0]) if rows else []
    table([header.replace("_", " ") for header in headers], [list(row.values()) for row in rows])
    say(note)
