"""The supported families: each file here declares one, or a few that are built alike, as `FAMILIES`."""

from typing import Any

from acdc.errors import ModelError
from acdc.models.family import Family
from acdc.models.refusals import quantised, reason_against
from acdc.registry import Registry, declared

__all__ = ["FAMILIES", "family_of"]

FAMILIES: Registry[Family] = Registry(  # by the `model_type` of a model's config
    "family", {kind: family for found in declared(__name__, "FAMILIES") for kind, family in found.items()}
)


def family_of(config: Any) -> Family:
    """The family of a Hugging Face config.

    Raises:
        ModelError: Its `model_type` isn't supported, or this model of it can't be read; the message says why.
    """
    kind = config.model_type
    if kind not in FAMILIES:
        reason = f": {why}" if (why := reason_against(config)) else ""
        raise ModelError(
            f"models of type {kind!r} are not supported{reason}; supported are {', '.join(sorted(FAMILIES))}"
        )
    family = FAMILIES[kind]
    if why := family.unfit(config) or quantised(config):
        raise ModelError(f"this {family.name} model ({kind!r}) can't be read: {why}")
    return family
