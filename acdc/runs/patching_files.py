"""The folder of patching maps: `<out>/<task>/<model>/patching/<what>-<id>/`, the same for the same arguments.

It holds `maps.json` (what was asked and every map), `cells.csv` (a line a cell), and a picture of each map.
"""

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acdc.drawing.heat_map import draw_heat_map
from acdc.drawing.maps import patching_map
from acdc.errors import FileError
from acdc.files import write_csv, write_json
from acdc.interpret.patching_maps import NodeMap
from acdc.prompts.batch import PromptBatch
from acdc.runs.arguments import Arguments
from acdc.runs.fingerprint import fingerprint
from acdc.runs.folders import runs_folder
from acdc.version import __version__

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PatchedMaps", "record_of", "slug", "written"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PatchedMaps:
    """Maps, and where they were written.

    Attributes:
        record: What was asked, and what a reader must know of the prompts.
        path: The folder; None if nothing was to be written.
    """

    maps: tuple[NodeMap, ...]
    record: dict[str, Any]
    path: Path | None = None
    files: tuple[Path, ...] = ()

    def frame(self) -> "pd.DataFrame":
        """A line a cell, of all maps: see `NodeMap.frame`."""
        import pandas as pd

        return pd.concat([found.frame() for found in self.maps], ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return self.record | {"maps": [found.explained().model_dump() for found in self.maps]}


def record_of(what: str, task: str, arguments: Arguments, asked: dict[str, Any], batch: PromptBatch) -> dict[str, Any]:
    """What a folder says of its maps' origin."""
    return {
        "made_with": f"acdc {__version__}",
        "what": what,
        "task": task,
        "task_options": dict(arguments.task_options),
        "model": arguments.model.name,
        **arguments.model.to_json(),
        "arguments": asked,
        "prompts_sha256": batch.fingerprint,
        "notes": list(batch.notes),
    }


def written(found: PatchedMaps, out: str | Path | None) -> PatchedMaps:
    """The maps, in their folder below `out`.

    Raises:
        FileError: A file can't be written.
    """
    if out is None:
        return found
    record = found.record
    folder = runs_folder(out, record["task"], record["model"], "patching")
    folder /= f"{record['what']}-{fingerprint(record)[:10]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"can't make {folder}: {error.strerror or error}") from None
    files = [write_json(folder / "maps.json", found.to_dict()), write_csv(folder / "cells.csv", found.frame())]
    for each in found.maps:
        name = slug(f"{each.direction} {each.site} {each.metric}")
        try:
            files.append(draw_heat_map(patching_map(each.explained()), folder / f"{name}.svg"))
        except FileError:
            raise
        except Exception as error:  # what was measured is not lost for a picture
            logger.warning("%s could not be drawn: %s", name, error)
    return replace(found, path=folder, files=tuple(files))


def slug(text: str) -> str:
    """A file's name of some words.

    >>> slug("noising mlp_out (10 layers)")
    'noising-mlp_out-10-layers'
    """
    return re.sub(r"[^\w.]+", "-", text.lower()).strip("-")[:80] or "unnamed"
