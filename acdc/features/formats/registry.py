"""The formats by name. A format is one file in this folder: it declares `FORMAT`."""

from pathlib import Path

from acdc.errors import FileError, printable
from acdc.features.formats.format import Format
from acdc.features.sites import Site
from acdc.registry import Registry, declared

__all__ = ["FORMATS", "find_format", "format_of", "patterns_of"]

_FOUND: list[Format] = declared("acdc.features.formats", "FORMAT")
FORMATS = Registry.of(
    "format of dictionaries", _FOUND, aliases={"sae_lens": "saelens", "sae-lens": "saelens", "eai-sparsify": "sparsify"}
)
SHOWN = 8  # folders in a message


def patterns_of(format: str | None, site: Site | None = None) -> tuple[str, ...]:
    """What the files of a format are called, or of any; of a set, those of the site's layer."""
    formats = FORMATS.values() if format is None else [FORMATS.find(format)]
    layer = "*" if site is None else site.layer
    return tuple({pattern.format(layer=layer): None for entry in formats for pattern in entry.patterns})


def find_format(folder: Path) -> Format | None:
    """The format that a folder's files are of; None if they are of none."""
    return next((entry for entry in FORMATS.values() if entry.recognises(folder)), None)


def format_of(folder: Path, name: str) -> Format:
    """The same, where there must be one.

    Args:
        name: The dictionary as it was asked for, for the message.

    Raises:
        FileError: The files are of no format; the message says what was looked for.
    """
    if (found := find_format(folder)) is not None:
        return found
    wanted = "; ".join(f"{entry.files} ({entry.name})" for entry in FORMATS.values())
    inside = [path.name for path in sorted(folder.iterdir()) if path.is_dir()]
    more = ", ..." if len(inside) > SHOWN else ""
    hint = f" It holds folders ({printable(', '.join(inside[:SHOWN]), 200)}{more}): name one of them." if inside else ""
    raise FileError(f"no dictionary in {name!r}: looked for {wanted}.{hint}")
