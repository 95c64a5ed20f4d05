"""The edges of at least a given score."""

from acdc.discovery.cautions import cautions
from acdc.discovery.selection.candidates import Candidates, Selected

__all__ = ["by_threshold"]


def by_threshold(candidates: Candidates, *, threshold: float) -> Selected:
    """Keep the edges whose score, or its size, reaches a threshold.

    Args:
        threshold: The least score of a kept edge, in the scores' unit.
    """
    size = candidates.scores if candidates.signed else candidates.scores.abs()
    mask = candidates.cut(candidates.among & (size >= threshold))
    more = "lower the threshold, or take select=greedy with n_edges, which grows a circuit from the logits back"
    told = cautions(candidates.problem, mask, more=more, less="raise the threshold")
    return Selected(mask, warnings=told)
