"""Searches that several processes can't share, since each decision rests on the one before."""

import logging
from collections.abc import Callable

from acdc.discovery.result import DiscoveryResult
from acdc.patching.problem import Problem

__all__ = ["by_first"]

logger = logging.getLogger(__name__)


def by_first(problem: Problem, name: str, search: Callable[[], DiscoveryResult]) -> DiscoveryResult:
    """What `search` finds in the first of the problem's processes; the others wait for it, and that is said before."""
    if problem.ranks.n > 1 and problem.ranks.is_first:
        logger.warning(
            "%s decides one edge after another, which %d processes do no faster than one: the first does it alone",
            name,
            problem.ranks.n,
        )
    return problem.ranks.by_first(search)
