"""The sections of an explanation: each module here that declares a `SECTION` adds one."""

from acdc.interpret.sections.section import Section
from acdc.registry import Registry, declared

__all__ = ["SECTIONS", "Section"]

SECTIONS: Registry[Section] = Registry.of(
    "section", sorted(declared(__name__, "SECTION"), key=lambda section: section.order)
)
