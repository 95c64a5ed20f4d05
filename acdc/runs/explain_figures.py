"""The pictures of an explanation: patching maps, lenses and probes as heat maps, steering as a chart."""

import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from acdc.drawing import HeatMap, draw_heat_map, draw_steering, lens_map, patching_map
from acdc.errors import FileError
from acdc.interpret.explanation import Explanation, ProbeTable

__all__ = ["draw_explanation"]

logger = logging.getLogger(__name__)


def draw_explanation(said: Explanation, folder: Path) -> list[Path]:
    """Draw what there is; a picture that fails is left out, with a warning.

    Raises:
        FileError: A file can't be written.
    """
    files = list[Path]()
    for name, drawn in _pictures(said):
        try:
            files.append(drawn(folder / f"{name}.svg"))
        except FileError:
            raise
        except Exception as error:  # what was measured is not lost for a picture
            logger.warning("%s.svg could not be drawn: %s", name, error)
    return files


def _pictures(said: Explanation) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    """What draws each picture, by the names of their files."""
    for name, heat in _heat_maps(said):
        yield name, partial(draw_heat_map, heat)
    if said.steering:
        yield "steering", partial(draw_steering, said.steering)


def _heat_maps(said: Explanation) -> Iterator[tuple[str, HeatMap]]:
    """Maps, lenses and probes."""
    for each in said.maps:
        yield f"map_{_plain(each.site)}_{each.direction}", patching_map(each)
    for lens in said.lenses:
        which = "mean" if lens.prompt is None else f"prompt_{lens.prompt}"
        yield f"{_plain(lens.kind)}_{which}", lens_map(lens)
    for table in said.probes:
        yield f"probes_{table.label}", probe_map(table)


def probe_map(table: ProbeTable) -> HeatMap:
    """Held-out accuracy by layer and place."""
    note = f"majority {table.majority:.2f}; {table.n_test} held-out prompts; encoded is not used"
    title = f"probes of {table.label!r}: {' / '.join(table.classes)}"
    return HeatMap(table.rows, table.columns, table.accuracy, title=title, unit="accuracy", note=note)


def _plain(name: str) -> str:
    """A name as a part of a file's.

    >>> _plain("mlp_out, windows of 3 layers")
    'mlp_out-windows-of-3-layers'
    """
    return re.sub(r"[^\w]+", "-", name).strip("-")
