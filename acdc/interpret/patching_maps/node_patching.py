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

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64

from acdc.errors import RunError
from acdc.evaluation.values import ROUNDING
from acdc.interpret.patching_maps.columns import Columns, columns_of
from acdc.interpret.patching_maps.making import Tally
from acdc.interpret.patching_maps.measuring import Measures, as_metrics, several
from acdc.interpret.patching_maps.node_map import NodeMap
from acdc.interpret.patching_maps.plan import Place, Plan, all_positions
from acdc.interpret.patching_maps.rerun import Entry, Rerun
from acdc.interpret.patching_maps.sides import Base, Sides
from acdc.interpret.patching_maps.sites import BY_HEAD, check_sites
from acdc.metrics import Metric
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY, PATCHED
from acdc.patching.activations import ActivationCache
from acdc.patching.direction import DENOISING, DIRECTIONS, check_direction
from acdc.progress import Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["maps_of_sides", "node_maps"]


def node_maps(
    model: PatchableModel,
    batch: PromptBatch,
    *,
    sites: str | Sequence[str] = PATCHED,
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
    names, ways = several(sites), several(directions)
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
    columns: str | Columns | None = None,
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
    by_position = columns if isinstance(columns, Columns) else by_head
    if not isinstance(columns, Columns) and any(site.cells != BY_HEAD for site in found):
        by_position = columns_of(sides.batch, sides.model.tokenizer, columns)
    plans = [
        Plan.of(i, site, sides, by_head if site.cells == BY_HEAD else by_position, window)
        for i, site in enumerate(found)
    ]
    ends = [measures.of_logits(run.logits)[:, 0] for run in (sides.clean, sides.corrupt)]
    known = {"resid_mid"} if "resid_pre" in sites else set()
    n_cells = sum(plan.n_cells for plan in plans if plan.site.name not in known)
    tally = Tally(n_cells * len(directions), progress)
    patched = {way: _patched(sides, way, plans, measures, memory, tally) for way in directions}
    return tuple(
        NodeMap(
            plan.site.name if plan.window == 1 else f"{plan.site.name} ({plan.window} layers)",
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


def _patched(
    sides: Sides, way: str, plans: list[Plan], measures: Measures, memory: int, tally: Tally
) -> list[Float64[np.ndarray, "metric _row _column prompt"]]:
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
                place: Place = entry.key
                found[place.plan][:, place.row, place.column] = values[:, i]
            tally.add(len(entries))
    _share_streams(plans, found)
    return found


def _share_streams(plans: list[Plan], found: list[Float64[np.ndarray, "metric _row _column prompt"]]) -> None:
    """At its own position a block's MLP follows from the stream before it: `resid_mid` is the next `resid_pre`."""
    numbers = {plan.site.name: plan.number for plan in plans}
    if {"resid_pre", "resid_mid"} <= set(numbers):
        found[numbers["resid_mid"]][:] = found[numbers["resid_pre"]][:, 1:]


def _entries(plans: list[Plan], base: Base, donor: ActivationCache, start: int) -> Iterator[Entry]:
    """All cells that start at a column, layer by layer."""
    names = {plan.site.name for plan in plans}
    for layer in range(base.n_layers + 1):
        for plan in plans:
            known = plan.site.name == "resid_mid" and "resid_pre" in names
            if not known and layer < len(plan.runs):
                yield from plan.entries(base, donor, layer, start, plan.starts.get(start, []))
