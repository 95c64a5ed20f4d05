"""The parts of an evaluation, one a file: a new one is a new file that calls it `PART`. See `acdc.evaluation.part`."""

from acdc.evaluation.part import Part
from acdc.registry import Registry, declared

__all__ = ["PARTS"]

PARTS: Registry[type[Part]] = Registry.of(
    "part of an evaluation", sorted(declared(__name__, "PART"), key=lambda part: part.order)
)
