"""What a page carries with it: its style, its script, the library d3, and the content security policy that lets in
these alone."""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

__all__ = ["Assets", "assets"]

# in the order in which they run
SCRIPTS = ("state", "groups", "layout", "graph", "panel", "patterns", "chart", "tables", "page")


@dataclass(frozen=True)
class Assets:
    """Text that stands inside of the page.

    Attributes:
        library, licence: d3 and its licence.
        policy: No network, no frames, no forms, and no script or style but these, by their hashes.
    """

    style: str
    library: str
    licence: str
    script: str

    @property
    def policy(self) -> str:
        scripts = " ".join(_hash(text) for text in (self.library, self.script))
        return (
            f"default-src 'none'; script-src {scripts}; style-src {_hash(self.style)}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )


@cache
def assets() -> Assets:
    """As they lie in this package."""
    place = files(__package__)
    scripts = ((place / "static" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return Assets(
        style=(place / "static" / "page.css").read_text(encoding="utf-8"),
        library=(place / "vendor" / "d3.min.js").read_text(encoding="utf-8"),
        licence=(place / "vendor" / "d3.LICENSE").read_text(encoding="utf-8"),
        script='"use strict";\n' + "\n".join(scripts),
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
