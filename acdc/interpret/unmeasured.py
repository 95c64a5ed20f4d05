"""What can't be measured of a model, and why: no number is made up for it."""

from acdc.errors import ACDCError

__all__ = ["Unmeasured"]


class Unmeasured(ACDCError):
    """A score has no meaning here; the message says why, in a few words."""
