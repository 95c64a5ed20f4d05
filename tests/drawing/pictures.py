"""What a drawn picture holds, read from its DOT and its SVG."""

import re
import shutil
from xml.etree import ElementTree

import pytest

from acdc.circuits.circuit import Circuit
from acdc.drawing import to_dot
from acdc.drawing.scene import scene_of
from acdc.drawing.svg import svg_of

EVIL = '<script>alert("x")</script> & \\G "quoted" \'\\\' \n\x00 ]]> -- {brace} é'
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")


def dot_edges(circuit: Circuit, **options: object) -> list[tuple[str, str, str, dict[str, str]]]:
    """(source, destination node, input, attributes) of the drawn edges of the DOT."""
    edges = []
    for src, dst, attributes in re.findall(
        r'^\t"?([\w.]+)"? -> (\S+) \[(.*)\]$', to_dot(circuit, **options).source, re.M
    ):
        if not src.startswith("rank"):
            node, _, port = dst.replace('"', "").partition(":")
            pairs = re.findall(r'(\w+)=("[^"]*"|\S+)', attributes)
            edges.append((src, node, port.removesuffix(":n"), {key: value.strip('"') for key, value in pairs}))
    return edges


def svg_paths(svg: str) -> list[ElementTree.Element]:
    return [path for path in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path") if path.get("stroke")]


def svg_text(svg: str) -> list[str]:
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def own_svg(circuit: Circuit, title: str | None = None) -> str:
    return svg_of(scene_of(circuit, title=title, max_edges=None))
