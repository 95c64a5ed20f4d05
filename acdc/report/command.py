"""The command that made a run, from its record."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from acdc.discovery import METHODS

__all__ = ["command_of"]

PLAIN = ("model", "method", "metric", "ablation", "direction", "n", "seed", "dtype", "device", "revision")


def command_of(record: Mapping[str, Any]) -> str:
    """`acdc discover ...` with its arguments, and those options of the method that aren't its defaults."""
    return shlex.join(["acdc", "discover", str(record["arguments"]["task"]), *_words(record)])


def _words(record: Mapping[str, Any]) -> Iterator[str]:
    arguments = record["arguments"]
    for name in PLAIN:
        value = arguments.get("n_asked") or arguments["n"] if name == "n" else arguments.get(name)
        if value is not None:
            yield from (f"--{name}", str(value))
    if arguments.get("bos") is not None:
        yield "--bos" if arguments["bos"] else "--no-bos"
    if arguments.get("trust_remote_code"):
        yield "--trust-remote-code"
    for name, value in arguments["task_options"].items():
        yield from ("--task-option", f"{name}={_text(value)}")
    method = METHODS.get(arguments["method"])
    known = {} if method is None else method.options
    for name, value in arguments["options"].items():
        if value is not None and (name not in known or value != known[name].default):
            yield from ("--option", f"{name}={_text(value)}")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
