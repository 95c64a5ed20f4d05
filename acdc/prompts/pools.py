"""Tasks that have only so many pairs: which of them are for discovery, and which are held out."""

from collections.abc import Sequence

from acdc.prompts.pairs import PromptPair

__all__ = ["EVERY", "same_pairs", "side_of"]

EVERY = 4  # one in so many pairs is held out


def side_of(pairs: Sequence[PromptPair], *, held_out: bool, in_order: bool) -> list[PromptPair]:
    """The pairs of one side, in the order in which they came: every fourth of the different ones is held out.

    Both sides have all of them where there are fewer than four.

    Args:
        in_order: Whether they always come in the same order. Else they are counted in the order of their content, so
            that a shuffled list is split like any other.

    >>> pairs = [PromptPair([i], [9], [0]) for i in range(9)]
    >>> [pair.clean for pair in side_of(pairs, held_out=True, in_order=True)]
    [[3], [7]]
    """
    keys = _keys(pairs)
    different = list(dict.fromkeys(keys if in_order else sorted(keys)))
    if len(different) < EVERY:
        return list(pairs)
    apart = set(different[EVERY - 1 :: EVERY])
    return [pair for pair, key in zip(pairs, keys, strict=True) if (key in apart) == held_out]


def same_pairs(one: Sequence[PromptPair], other: Sequence[PromptPair]) -> bool:
    """Whether both have the same prompts, in whatever order."""
    return set(_keys(one)) == set(_keys(other))


def _keys(pairs: Sequence[PromptPair]) -> list[str]:
    return [repr((pair.clean, pair.corrupt)) for pair in pairs]
