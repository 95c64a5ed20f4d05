"""`acdc debug`: why a model says what it says after one prompt."""

from typing import Annotated

import typer

from acdc.cli.app import app
from acdc.cli.one_prompt import Chat, Corrupt, System
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
    dump,
    hush,
    placing,
    say,
)
from acdc.errors import RunError
from acdc.options.defaults import DEVICE, DTYPE

__all__ = ["debug_prompt"]


@app.command("debug")
def debug_prompt(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text after which the model answers.")],
    answer: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="The right answer, like ' Canberra'; of several tokens the first. [default: the model's first choice]",
        ),
    ] = None,
    wrong: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="A wrong answer, like ' Sydney'. [default: the most probable other token]"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A bundled model, a local folder, or a hub name.")] = None,
    corrupt: Corrupt = None,
    chat: Chat = False,
    system: System = None,
    nodes: Annotated[int, typer.Option("--nodes", "-n", help="How many nodes to name on each side.")] = 5,
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
    """Say why a model answers PROMPT as it does: what it says and how sure it is, from which layer on, which heads and
    MLPs push which answer and where they look, and what it says without each of them.

    With --corrupt, a twin of the prompt with as many tokens, nodes are ablated to what they write there, and it is said
    where the clean run's activations bring the answer back.
    """
    if model is None:
        raise RunError("name the model that answers (--model)")
    hush()
    from acdc.runs.debug import debug as look

    found = look(
        model,
        prompt,
        answer,
        wrong,
        corrupt=corrupt,
        chat=chat,
        system=system,
        bos=bos,
        n_nodes=nodes,
        dtype=dtype,
        device=device,
        device_map=placing(device_map, offload),
        revision=revision,
        trust_remote_code=trust_remote_code,
        progress=not (quiet or as_json),
    )
    if as_json:
        dump(found.to_dict())
    else:
        say(found.summary())
