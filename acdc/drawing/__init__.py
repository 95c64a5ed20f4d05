"""Pictures of circuits and other weighted graphs: Graphviz (SVG, PNG, PDF, DOT), and SVG without it."""

from acdc.drawing.comparison import draw_comparison
from acdc.drawing.dot import to_dot
from acdc.drawing.heat_map import HeatMap, draw_heat_map
from acdc.drawing.maps import lens_map, patching_map
from acdc.drawing.notebook import facts_html, html_circuit
from acdc.drawing.render import FORMATS, INSTALL_GRAPHVIZ, Picture, draw, picture
from acdc.drawing.roles import roles_of
from acdc.drawing.selection import draw_selection
from acdc.drawing.steering import draw_steering

__all__ = [
    "FORMATS",
    "INSTALL_GRAPHVIZ",
    "HeatMap",
    "Picture",
    "draw",
    "draw_comparison",
    "draw_heat_map",
    "draw_selection",
    "draw_steering",
    "facts_html",
    "html_circuit",
    "lens_map",
    "patching_map",
    "picture",
    "roles_of",
    "to_dot",
]
