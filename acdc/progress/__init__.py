"""Progress of long work: how far it is, how long it still takes, and how that is shown."""

from acdc.progress.progress import Pace, Progress, Tell, announce, duration, roughly

__all__ = ["Pace", "Progress", "Tell", "announce", "duration", "roughly"]
