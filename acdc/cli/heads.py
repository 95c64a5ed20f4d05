"""`acdc heads`: what each head of a model does, by the field's scores."""

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
from acdc.errors import RunError
from acdc.options.defaults import DEVICE, DTYPE, N_FOR_ROLES, SEED

if TYPE_CHECKING:
    from acdc.interpret.composition import Composition
    from acdc.interpret.head_roles import HeadRoles

__all__ = ["heads"]

TOP = 20


@app.command()
def heads(
    model: Annotated[
        str, typer.Option(help="A bundled model, a real one (smollm2), a local folder or file, or a name on the hub.")
    ],
    role: Annotated[list[str] | None, typer.Option(help="Only this role; may be given several times.")] = None,
    head: Annotated[str | None, typer.Option(help="All scores of one head, like a5.h1.")] = None,
    task: Annotated[
        str | None, typer.Option(help="A task, for the roles that a task gives: name mover, S-inhibition and the like.")
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="Number of the task's prompt pairs.")] = N_FOR_ROLES,
    top: Annotated[int, typer.Option(min=1, help="How many heads, or pairs, to list of each role.")] = TOP,
    composition: Annotated[
        bool, typer.Option("--composition", help="List pairs of heads whose weights fit: Q, K and V composition.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write all heads' scores, or pairs', into this file.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of random tokens and prompts.")] = SEED,
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
    """Say what each head of a model does: induction, previous token, copying and other roles, by the field's scores."""
    if composition and (role or head or task):
        raise RunError("--composition is about pairs of heads; leave --role, --head and --task out")
    if task is None and (task_option or bos is not None):
        raise RunError("--task-option and --bos are about a task's prompts; name it: --task ioi")
    loading: dict[str, Any] = {
        "dtype": dtype,
        "device": device,
        "device_map": placing(device_map, offload),
        "revision": revision,
        "trust_remote_code": trust_remote_code,
    }
    hush()
    from acdc.files import write_csv
    from acdc.interpret.head_names import place_of
    from acdc.runs.heads import compositions
    from acdc.runs.heads import heads as measured
    from acdc.runs.model_spec import ModelSpec

    if composition:
        fits = compositions(model, **loading)
        files = [] if csv is None else [write_csv(csv, fits.frame())]
        dump(_composition_json(fits, top)) if as_json else _tell_pairs(fits, top)
    else:
        options = options_of_task(task_option)
        loaded = ModelSpec.of(model, **loading).load()
        if head is not None:
            place_of(loaded, head)  # told before long work
        found = measured(
            loaded,
            task,
            roles=role,
            n=n,
            seed=seed,
            bos=bos,
            task_options=options,
            progress=not (quiet or as_json),
        )
        files = [] if csv is None else [write_csv(csv, found.frame().reset_index())]
        if as_json:
            dump(_json(found, head))
        elif head is not None:
            table(
                ["role", "score", "cut", "has it", ""],
                [[s.role, _number(s.score), f"{s.cut:g}", "yes" if s.holds else "", s.label] for s in found.of(head)],
            )
        else:
            _tell(found, top)
    if not as_json:
        for file in files:
            say(f"  {file}")


def _tell(found: "HeadRoles", top: int) -> None:
    """Each role's heads in a line; what they do; and what could not be measured."""
    from acdc.interpret.roles import ROLES

    for role in found.scores:
        held = [(head, each) for head, each in found.strongest(role) if each.holds]
        best, label = found.strongest(role, 1)[0], ROLES[role].does
        some = ", ".join(
            f"{head} {each.score:.2f}{f' ({each.label})' if each.label else ''}" for head, each in held[:top]
        )
        more = f" and {len(held) - top} more" if len(held) > top else ""
        none = f"none reaches {ROLES[role].cut:g}; highest {best[0]} {_number(best[1].score)}"
        say(f"{role}: {label}\n    {f'{some}{more}' if held else none}")
    for role, reason in found.reasons.items():
        say(f"{role}: not measured, {reason}")
    if not found.task:
        say("Roles that a task gives: --task ioi. All scores of a head: --head a5.h1.")


def _number(score: float) -> str:
    text = f"{score:.2f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _tell_pairs(fits: "Composition", top: int) -> None:
    table(
        ["writes", "reads", "input", "score"],
        [[row.src, row.dst, row.input, f"{row.score:.3f}"] for row in fits.frame(top).itertuples()],
    )
    say(f"score: composition above that of random heads ({fits.baseline:.3f}), by weights alone")
    for text in (fits.note, *(f"{kind}: not defined, {reason}" for kind, reason in fits.reasons.items())):
        if text:
            say(text)


def _json(found: "HeadRoles", head: str | None) -> dict[str, Any]:
    from dataclasses import asdict

    names = found.heads if head is None else (head,)
    scores = {name: [asdict(each) | {"holds": each.holds} for each in found.of(name)] for name in names}
    return {"model": found.model, "task": found.task, "seed": found.seed, "heads": scores, "reasons": found.reasons}


def _composition_json(fits: "Composition", top: int) -> dict[str, Any]:
    rows = fits.frame(top).to_dict("records")
    return {"model": fits.model, "baseline": fits.baseline, "note": fits.note, "reasons": fits.reasons, "pairs": rows}
