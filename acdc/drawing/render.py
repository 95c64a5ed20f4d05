"""Pictures as files and in notebooks: Graphviz's `dot` program where there is one, our own SVG where there is none."""

import logging
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from acdc.circuits.weighted import WeightedGraph
from acdc.drawing.dot import dot_of
from acdc.drawing.scene import MAX_DRAWN_EDGES, Scene, scene_of
from acdc.drawing.svg import svg_of
from acdc.errors import CircuitError
from acdc.files import write_atomically

if TYPE_CHECKING:
    from acdc.circuits.circuit import Circuit

__all__ = ["FORMATS", "INSTALL_GRAPHVIZ", "Picture", "draw", "picture"]

logger = logging.getLogger(__name__)

FORMATS = (".svg", ".png", ".pdf", ".dot", ".gv")
INSTALL_GRAPHVIZ = (
    "install Graphviz: 'apt install graphviz' (Debian, Ubuntu), 'brew install graphviz' (macOS), "
    "or 'conda install -c conda-forge graphviz'"
)
TIMEOUT = 60.0  # seconds; dot's layout of thousands of edges would take hours


class _NoGraphviz(Exception):
    """Why `dot` drew nothing."""


@dataclass(frozen=True)
class Picture:
    """A drawn graph that a notebook shows: its DOT source and its SVG."""

    dot: str
    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


@overload
def draw(
    graph: "WeightedGraph | Circuit",
    path: None = None,
    *,
    title: str | None = None,
    max_edges: int | None = ...,
    colors: Mapping[str, str] = MappingProxyType({}),
    roles: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Picture: ...


@overload
def draw(
    graph: "WeightedGraph | Circuit",
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    max_edges: int | None = ...,
    colors: Mapping[str, str] = MappingProxyType({}),
    roles: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Path]: ...


def draw(
    graph: "WeightedGraph | Circuit",
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    max_edges: int | None = MAX_DRAWN_EDGES,
    colors: Mapping[str, str] = MappingProxyType({}),
    roles: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Picture | list[Path]:
    """Draw a graph: into a file, whose ending chooses among SVG, PNG, PDF and DOT (.dot, .gv), or for a notebook.

    SVG, PNG and PDF are made by Graphviz's `dot` program. Where it is missing or fails, the DOT file is written beside
    the asked path, SVG is drawn by `acdc.drawing.svg` instead, and a logged warning says how to install Graphviz. Edges
    that are split by span have a column for each, which Graphviz can't keep: their SVG is always drawn by
    `acdc.drawing.svg`.

    Args:
        graph: A circuit, or a weighted graph of any nodes.
        path: The file; its folder must exist. None gives a `Picture`, which a notebook shows.
        title: Default: the graph's own, which is a circuit's origin.
        max_edges: Draw only so many edges, those of the largest weights; None draws all.
        colors: The colour of each group of edges, in the legend's order; by default colours tell inputs apart.
        roles: What nodes do, by name, to be written below their labels; `roles_of` reads it from an explanation.

    Returns:
        The files written, or the picture.

    Raises:
        CircuitError: The ending names no known format, or the file can't be written.
    """
    if path is None:
        return picture(graph, title=title, max_edges=max_edges, colors=colors, roles=roles)
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise CircuitError(f"can't draw to {path.name!r}: the ending must be one of {', '.join(FORMATS)}")
    scene = scene_of(graph, title=title, max_edges=max_edges, colors=colors, roles=roles)
    source = dot_of(scene).source
    if suffix == ".svg" and scene.columns:
        return [write_atomically(path, svg_of(scene).encode())]
    if suffix in (".dot", ".gv"):
        return [write_atomically(path, source.encode())]
    try:
        return [write_atomically(path, _run_dot(source, suffix[1:]))]
    except _NoGraphviz as reason:
        return _draw_without_graphviz(scene, source, path, str(reason))


def picture(
    graph: "WeightedGraph | Circuit",
    *,
    title: str | None = None,
    max_edges: int | None = MAX_DRAWN_EDGES,
    colors: Mapping[str, str] = MappingProxyType({}),
    roles: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Picture:
    """A graph as a value that a notebook shows; arguments as for `draw`."""
    scene = scene_of(graph, title=title, max_edges=max_edges, colors=colors, roles=roles)
    source = dot_of(scene).source
    if scene.columns:
        return Picture(source, svg_of(scene))
    try:
        return Picture(source, _run_dot(source, "svg").decode())
    except _NoGraphviz:
        return Picture(source, svg_of(scene))


def _draw_without_graphviz(scene: Scene, source: str, path: Path, reason: str) -> list[Path]:
    written = [write_atomically(path, svg_of(scene).encode())] if path.suffix.lower() == ".svg" else []
    written.append(write_atomically(path.with_suffix(".dot"), source.encode()))
    names = " and ".join(file.name for file in written)
    drawn = "drawn without Graphviz" if len(written) > 1 else f"{path.name} was not drawn"
    logger.warning("%s: wrote %s; %s. For Graphviz's layout %s", reason, names, drawn, INSTALL_GRAPHVIZ)
    return written


def _run_dot(source: str, kind: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise _NoGraphviz("Graphviz's program 'dot' was not found")
    try:
        done = subprocess.run([program, f"-T{kind}"], input=source.encode(), capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise _NoGraphviz(f"'dot' took longer than {TIMEOUT:.0f} seconds") from None
    except OSError as error:
        raise _NoGraphviz(f"'dot' could not be run ({error})") from None
    if done.returncode != 0 or not done.stdout:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise _NoGraphviz(f"'dot' failed ({lines[-1]})")
    return done.stdout
