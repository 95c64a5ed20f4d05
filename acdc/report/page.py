"""The page of a run: one HTML file that holds all it needs, made of saved results."""

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from acdc.circuits.weighted import WeightedGraph
from acdc.drawing.scene import scene_of
from acdc.drawing.svg import svg_of
from acdc.files import write_atomically
from acdc.interpret.explanation import Explanation
from acdc.report.assets import assets
from acdc.report.cards import cards
from acdc.report.command import command_of
from acdc.report.curve import curve_table, size_curve
from acdc.report.dose import dose_panels
from acdc.report.evidence import evidence
from acdc.report.findings import Findings
from acdc.report.graph import graph_of, graph_values
from acdc.report.headline import headline
from acdc.report.heats import agreement_heats, lens_heats, map_heats, probe_heats
from acdc.report.listing import edge_table, node_table
from acdc.report.opening import opening
from acdc.report.prompts import prompt_views
from acdc.report.steering import steering_tables
from acdc.report.text import token, visible
from acdc.version import __version__

__all__ = ["environment", "exact_json", "page_of", "rendered", "write_page"]

STATIC_EDGES = 100  # in the picture for readers without script
NOTHING: dict[str, Any] = {  # the sections that a page may lack
    "maps": [],
    "lenses": [],
    "agreement": [],
    "probes": [],
    "doses": [],
    "steering": [],
    "curve": None,
    "evidence": [],
    "prompts": [],
    "command": "",
    "record": None,
    "notes": [],
    "seconds": {},
    "document": None,
}


def write_page(path: str | Path, findings: Findings) -> Path:
    """Write the page of what was found; an interrupted write leaves the old file whole.

    Raises:
        FileError: The file can't be written, or the evaluation isn't one.
    """
    return write_atomically(path, page_of(findings).encode())


def page_of(findings: Findings) -> str:
    """The page as HTML: it needs no network, no server, and no other file."""
    graph, curve, told = graph_of(findings), size_curve(findings), findings.explanation
    told = Explanation(made_with=__version__, circuit="") if told is None else told
    return rendered(
        graph,
        {"graph": graph_values(findings, graph, curve, headline(findings)), "patterns": _patterns(told)},
        title=findings.name,
        opening=opening(findings),
        cards=cards(told),
        nodes=node_table(findings, graph),
        edges=edge_table(findings, graph),
        maps=list(map_heats(told)),
        lenses=list(lens_heats(told)),
        agreement=list(agreement_heats(told)),
        probes=list(probe_heats(told)),
        doses=dose_panels(told),
        steering=list(steering_tables(told)),
        curve=None if curve is None else curve_table(curve),
        evidence=list(evidence(findings)),
        prompts=prompt_views(findings),
        command=told.command or (command_of(findings.record) if findings.record else ""),
        record=findings.record,
        notes=told.notes,
        seconds=told.seconds,
    )


def rendered(
    graph: WeightedGraph, data: Mapping[str, Any], *, picture: WeightedGraph | None = None, **parts: Any
) -> str:
    """The page of a graph as HTML.

    Args:
        picture: What is drawn for readers without script, if it isn't the graph.
        data: What the script reads.
        parts: What the template shows; of `NOTHING`, what there is.
    """
    carried = {name: Markup(getattr(assets(), name)) for name in ("style", "library", "script", "licence", "policy")}
    return (
        environment()
        .get_template("page.html")
        .render(
            version=__version__,
            assets=carried,
            data=Markup(script_json(data)),
            picture=Markup(svg_of(scene_of(picture or graph, title="", max_edges=STATIC_EDGES))),
            **NOTHING | parts,
        )
    )


@cache
def environment() -> Environment:
    """Everything that a template is given is escaped, and what can't be seen is made visible."""
    return Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else visible(value),
    )


def script_json(value: Any) -> str:
    r"""JSON that can stand in a script element, whatever its strings hold.

    >>> script_json({"token": "</script>\u2028", "p": float("nan")})
    '{"token":"\\u003c/script\\u003e\\\\u2028","p":null}'
    """
    return exact_json(_plain(value))


def exact_json(value: Any) -> str:
    r"""JSON that can stand in a script element, whose strings are read again as they are.

    >>> exact_json({"token": "</script>\u202e"})
    '{"token":"\\u003c/script\\u003e\\u202e"}'
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {visible(str(key)): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _patterns(told: Explanation) -> dict[str, list[dict[str, Any]]]:
    """Attention patterns by head, tokens as they are shown."""
    return {
        card.name: [
            {**pattern.model_dump(), "tokens": [token(text) for text in pattern.tokens]} for pattern in card.patterns
        ]
        for card in told.nodes
        if card.patterns
    }
