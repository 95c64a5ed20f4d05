"""What a discovery method is: a search with its options, and what else must be known to run it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from acdc.discovery.options import REQUIRED, Option, options_of, renamed
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.scored import Scored
from acdc.errors import RunError, unknown_name
from acdc.metrics import METRICS
from acdc.options.ranges import checked
from acdc.patching.direction import NOISING
from acdc.patching.footprint import Engine
from acdc.task import Task

__all__ = ["Method", "check_options", "default_metric"]


@dataclass(frozen=True)
class Method:
    """A way to find a circuit. A module of `acdc.discovery` that declares one as `METHOD` is found by it.

    Attributes:
        search: `search(problem, *, checkpoint=None, progress=None, **options) -> DiscoveryResult`; where it scores all
            edges first, a `Scored`.
        at_clean: It takes gradients at the clean run, so it can't use a metric that is flat there.
        threshold: The option, if there is one, that is a threshold: the larger, the fewer edges are kept. Such a
            method's edges are ranked by the circuits at falling thresholds, not by their scores.
        faster: A method of the same kind of answer for models on which this one takes hours.
        variants: Options that make it a method of its own, which a benchmark compares beside it.
        noising_only: It can't look for a circuit by denoising: see `acdc.patching.direction`.
        baseline: It knows nothing of the task, and is there to compare others with.
        aliases: What other tools call it.
        engines: What of `acdc.patching` it works with: see `acdc.patching.footprint`, where they are counted.
    """

    name: str
    summary: str
    source: str
    search: Callable[..., DiscoveryResult]
    at_clean: bool = False
    threshold: str | None = None
    faster: str | None = None
    variants: tuple[Mapping[str, Any], ...] = ()
    noising_only: bool = False
    baseline: bool = False
    aliases: tuple[str, ...] = ()
    engines: tuple[Engine, ...] = ("gradient",)

    @cached_property
    def options(self) -> Mapping[str, Option]:
        """Its options by name."""
        return self.search.options if isinstance(self.search, Scored) else options_of(self.search)


def check_options(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of the method: those given, as plain Python values of the right type, and the others' defaults.

    Raises:
        UnknownNameError: The method has no such option, or the option no such choice.
        RunError: A value has another type or is out of range, or an option without default isn't given.
    """
    given = renamed(given)
    for name in given:
        if name not in method.options:
            raise unknown_name(f"option of method {method.name!r}", name, method.options)
    for name, option in method.options.items():
        if option.default is REQUIRED and name not in given:
            raise RunError(f"method {method.name!r} needs a value for its option {name!r}")
    return {
        name: checked(name, option.kind, given[name]) if name in given else option.default
        for name, option in method.options.items()
    }


def default_metric(task: Task | type[Task], method: Method, direction: str = NOISING) -> str:
    """What a method minimises on a task where no metric is named: the task's own; its `gradient_metric` where that is
    flat at the clean run and the method takes gradients there. By denoising it takes them at the corrupted run, where
    no metric is flat."""
    flat = method.at_clean and direction == NOISING and task.metric in METRICS and METRICS[task.metric].flat_at_clean
    return task.gradient_metric if flat else task.metric
