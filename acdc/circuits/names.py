"""What names of nodes, destinations and spans say: `a5.h1<q>@S2` is the query input of head 1 in block 5 at span S2."""

import re
from collections.abc import Sequence

from acdc.errors import shown

__all__ = ["base_of", "hint", "input_of", "kind_of", "node_of", "site_of", "span_of"]


def base_of(name: str) -> str:
    """A name without its span: `m3@S2` to `m3`."""
    return name.partition("@")[0]


def span_of(name: str) -> str:
    """The span of a name: `m3@S2` to `S2`, and `m3` to nothing."""
    return name.partition("@")[2]


def node_of(destination: str) -> str:
    """The node that a destination belongs to: `a1.h0<q>` to `a1.h0`, and `a1.h0<q>@S2` to `a1.h0@S2`; `m3` and `logits`
    to themselves."""
    name, at, span = destination.partition("@")
    return name.split("<")[0] + at + span


def site_of(source: str, destination: str) -> str:
    """The node that writes on an edge: `a0.h1` into `m3` is `a0.h1`, and into `m3@S2` it is `a0.h1@S2`."""
    return source + "".join(destination.partition("@")[1:])


def kind_of(node: str) -> str:
    """`input`, `head`, `mlp` or `logits`."""
    name = base_of(node)
    if name in ("input", "logits"):
        return name
    return "head" if name.startswith("a") else "mlp"


def input_of(destination: str) -> str:
    """`q`, `k` or `v` for a head's input, else the empty string."""
    name = base_of(destination)
    return name[-2] if name.endswith(">") else ""


def hint(end: str, spans: Sequence[str]) -> str:
    """Why the end of an edge may be unknown to a graph of these spans, in words; nothing where that can't be told."""
    if not spans and span_of(end):
        return " (edges are not split by span here)"
    if spans and not span_of(end):
        return f" (edges are split: '@' and one of {shown(', '.join(spans), 60)} must follow)"
    if re.fullmatch(r"a\d+\.h\d+", base_of(end)):
        return " (a head as a destination needs its input: '<q>', '<k>' or '<v>')"
    return ""
