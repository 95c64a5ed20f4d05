"""Node patching: the metric with one site's activation, at one layer and position or head, taken from the other run.

Denoising asks whether restoring a clean activation in the corrupted run is enough; noising whether spoiling one in the
clean run breaks the answer. They aren't mirror images: noising finds the members of an AND, denoising those of an OR.

Cells that are patched at one position start together and are computed as one stack; those before the first difference
are 0 without a run.

References:
    Meng et al. 2022, Locating and editing factual associations in GPT; Wang et al. 2022, Interpretability in the wild.
    Heimersheim & Nanda 2024, How to use and interpret activation patching; Zhang & Nanda 2024, Towards best practices
    of activation patching (windows).
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float64

from acdc.errors import RunError
from acdc.evaluation.values import ROUNDING
from acdc.interpret.patching_maps.columns import columns_of
from acdc.interpret.patching_maps.measuring import Measures, as_metrics
from acdc.interpret.patching_maps.node_map import NodeMap
from acdc.interpret.patching_maps.plan import Place, Plan, all_positions
from acdc.interpret.patching_maps.rerun import Entry, Rerun
from acdc.interpret.patching_maps.sides import Base, Sides
from acdc.interpret.patching_maps.sites import BY_HEAD, check_sites
from acdc.metrics import Metric
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY
from acdc.patching.activations import ActivationCache
from acdc.patching.direction import DENOISING, DIRECTIONS, check_direction
from acdc.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["DEFAULT_SITES", "maps_of_sides", "node_maps"]

DEFAULT_SITES = ("resid_pre", "attn_out", "mlp_out", "z")


def node_maps(
    model: PatchableModel,
    batch: PromptBatch,
    *,
    sites: str | Sequence[str] = DEFAULT_SITES,
    directions: str | Sequence[str] = DIRECTIONS,
    metrics: str | Metric | Sequence[str | Metric] = "logit_diff",
    columns: str | None = None,
    window: int = 1,
    memory: int = MEMORY,
    progress: Tell | None = None,
) -> tuple[NodeMap, ...]:
    """Patch every cell of some sites.

    Args:
        sites: What to patch: see `acdc.interpret.patching_maps.sites`.
        directions: `denoising`, `noising`, or both.
        metrics: One or several; they share the runs.
        columns: How positions of prompts of several lengths are aligned: see `columns_of`.
        window: How many layers a cell of `attn_out` and `mlp_out` patches together, about its own.
        memory: About how many bytes of activations a pass may take.
        progress: Told how many cells are done.

    Returns:
        A map for each site, direction and metric, in this order.

    Raises:
        UnknownNameError: There is no such site, direction, metric or alignment.
        TaskError: The prompts don't fit the model, the metric, or each other's positions.
        ModelError: The model has no such site, or its activations don't fit into memory.
        RunError: The window isn't a positive number of layers.
    """
    names, ways = _several(sites), _several(directions)
    for way in ways:
        check_direction(way)
    chosen = as_metrics(metrics)
    sides = Sides.of(model, batch)
    return maps_of_sides(sides, names, ways, chosen, columns=columns, window=window, memory=memory, progress=progress)


def maps_of_sides(
    sides: Sides,
    sites: tuple[str, ...],
    directions: tuple[str, ...],
    metrics: tuple[Metric, ...],
    *,
    columns: str | None = None,
    window: int = 1,
    memory: int = MEMORY,
    progress: Tell | None = None,
) -> tuple[NodeMap, ...]:
    """The maps of two runs that are made already: see `node_maps`."""
    if window < 1:
        raise RunError(f"a window must be a positive number of layers, not {window}")
    base, _ = sides.toward(DENOISING)
    found = check_sites(sites, base)
    measures = Measures.of(sides.model, sides.batch, metrics, sides.clean.logits, memory)
    by_head = all_positions(sides)
    by_position = by_head
    if any(site.cells != BY_HEAD for site in found):
        by_position = columns_of(sides.batch, sides.model.tokenizer, columns)
    plans = [
        Plan.of(i, site, sides, by_head if site.cells == BY_HEAD else by_position, window)
        for i, site in enumerate(found)
    ]
    ends = [measures.of_logits(run.logits)[:, 0] for run in (sides.clean, sides.corrupt)]
    tally = _Tally(sum(plan.n_cells for plan in plans) * len(directions), progress)
    patched = {way: _patched(sides, way, plans, measures, memory, tally) for way in directions}
    return tuple(
        NodeMap(
            plan.site.name if plan.window == 1 else f"{plan.site.name}, windows of {plan.window} layers",
            way,
            metric.name,
            plan.rows,
            plan.column_labels,
            patched[way][plan.number][i],
            ends[0][i],
            ends[1][i],
            plan.trivial,
            ROUNDING[sides.model.dtype],
        )
        for plan in plans
        for way in directions
        for i, metric in enumerate(metrics)
    )


class _Tally:
    """Counts the cells that are done, for whoever listens."""

    def __init__(self, total: int, tell: Tell | None) -> None:
        self.done, self.total, self.tell = 0, total, tell

    def add(self, n: int) -> None:
        self.done += n
        if self.tell is not None:
            self.tell(Progress(self.done, self.total, stage="patching", unit="cells"))


def _patched(
    sides: Sides, way: str, plans: list[Plan], measures: Measures, memory: int, tally: _Tally
) -> list[Float64[np.ndarray, "metric row column prompt"]]:
    """The metrics of all cells, of each plan."""
    base, donor = sides.toward(way)
    unpatched = measures.of_logits(base.run.logits)
    found = [
        np.broadcast_to(
            unpatched[:, :, None], (len(unpatched), len(plan.rows), len(plan.column_labels), sides.batch.n)
        ).copy()
        for plan in plans
    ]
    starts = sorted({start for plan in plans for start in plan.starts})
    for start in starts:
        rerun = Rerun(base, start, memory)
        for entries, finals in rerun.finals(_entries(plans, base, donor, start)):
            values = measures.of_finals(finals)
            for i, entry in enumerate(entries):
                place = entry.key
                assert isinstance(place, Place)
                found[place.plan][:, place.row, place.column] = values[:, i]
            tally.add(len(entries))
    return found


def _entries(plans: list[Plan], base: Base, donor: ActivationCache, start: int) -> Iterator[Entry]:
    """All cells that start at a column, layer by layer."""
    for layer in range(base.n_layers + 1):
        for plan in plans:
            if layer < plan.n_layers or plan.site.name == "resid_pre":
                yield from plan.entries(base, donor, layer, start, plan.starts.get(start, []))


def _several(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
