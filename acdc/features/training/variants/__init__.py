"""The kinds of dictionaries that can be trained, one a file."""

from acdc.features.training.variant import Variant
from acdc.registry import Registry, declared

__all__ = ["VARIANTS"]

VARIANTS: Registry[Variant] = Registry.of(
    "variant", declared(__name__, "VARIANT"), aliases={"batch_topk": "batchtopk", "matryoshka-batchtopk": "matryoshka"}
)
