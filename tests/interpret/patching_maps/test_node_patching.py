"""Node patching equals hooks on the Hugging Face model, cell for cell, and keeps the laws that need no oracle."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch

from acdc.errors import ModelError, RunError, TaskError, UnknownNameError
from acdc.interpret.patching_maps import SITES, NodeMap, node_maps
from acdc.interpret.patching_maps.columns import Columns
from acdc.interpret.patching_maps.node_patching import maps_of_sides
from acdc.interpret.patching_maps.plan import Plan
from acdc.interpret.patching_maps.rerun import Rerun
from acdc.interpret.patching_maps.sides import Sides
from acdc.metrics import METRICS, Objective
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY
from acdc.patching.direction import DENOISING, DIRECTIONS
from acdc.patching.exact.state import CircuitState
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch
from acdc.prompts.span_tokens import NamedSpans
from tests.interpret.patching_maps.hooked import (
    hooked,
    logits,
    patched,
    read,
    spot,
    with_own_keys,
    with_pattern,
    with_resid_mid,
)
from tests.tiny import KeepDouble, tiny_batch, tiny_model

FAMILIES = ("gpt2", "llama-gqa", "neox-parallel", "gemma2")
N_POS, SHARED = 4, 1


def batch_of_one_length(n: int = 1) -> PromptBatch:
    return tiny_batch(n=n, lengths=(N_POS,), shared=SHARED)


def oracle(model: PatchableModel, batch: PromptBatch, site: str, layer: int, head: int, where: torch.Tensor) -> dict:
    """The logits by direction."""
    found = {}
    for way in DIRECTIONS:
        sides = (batch.corrupt, batch.clean) if way == DENOISING else (batch.clean, batch.corrupt)
        if site == "pattern":
            found[way] = with_pattern(model, *sides, layer, head, where)
        elif site == "resid_mid":
            found[way] = with_resid_mid(model, *sides, layer, where)
        else:
            found[way] = patched(model, *sides, spot(model, site, layer, head), where)
    return found


def sites_of(model: PatchableModel) -> list[str]:
    return [site for site in SITES if site != "resid_mid" or not model.graph.parallel]


def of_cell(model: PatchableModel, site: str, row: int, column: int) -> tuple[int, int, torch.Tensor]:
    """A cell's layer, head and positions."""
    match SITES[site].cells:
        case "head":
            return row, column, torch.arange(N_POS)
        case "position":
            return row, 0, torch.tensor([column])
        case _:
            return *divmod(row, model.graph.n_heads), torch.tensor([column])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_cell_equals_hooks_on_the_model(family: str) -> None:
    with KeepDouble():
        model, batch = tiny_model(family), batch_of_one_length(2)
        plain = with_own_keys(model) if family in ("llama-gqa", "gemma2") else model
        objective = Objective(METRICS["logit_diff"], batch, logits(model, batch.clean))
        maps = {(each.site, each.direction): each for each in node_maps(model, batch, sites=sites_of(model))}
        for site in sites_of(model):
            shown = maps[site, DENOISING]
            for row, column in np.ndindex(len(shown.rows), len(shown.columns)):
                found = oracle(plain, batch, site.removesuffix("_by_pos"), *of_cell(model, site, row, column))
                for way in DIRECTIONS:
                    expected = objective.values(found[way][:, objective.tokens]).numpy()
                    assert np.abs(maps[site, way].patched[row, column] - expected).max() < 1e-10, (site, row, column)


@pytest.mark.parametrize("family", ("gpt2", "mistral-window", "gpt-oss", "olmo2", "bloom"))
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_whole_of_the_first_or_the_last_stream_is_the_other_run(family: str, direction: str) -> None:
    """In every kind of attention; prompts of several lengths have a column for all positions before."""
    with KeepDouble():
        model, batch = tiny_model(family), tiny_batch()
        sides = Sides.of(model, batch)
        every = Columns(("all",), batch.attention[None])
        plan = Plan(0, SITES["resid_pre"], sides, every, every.where & sides.active)
        for layer in range(model.graph.n_layers + 1):
            base, donor = sides.toward(direction)
            (entry,) = plan.entries(base, donor, layer, 2, [0])
            ((_, finals),) = Rerun(base, 2, MEMORY).finals([entry])
            assert torch.allclose(finals[0], donor.final[:, -1], atol=1e-10, rtol=0)


def test_cells_before_the_first_difference_are_exactly_zero_and_trivial() -> None:
    model, batch = tiny_model("llama-gqa"), batch_of_one_length()
    for found in node_maps(model, batch, sites=("resid_pre", "attn_out", "v_by_pos")):
        assert (found.values[:, :SHARED] == 0).all()
        assert found.trivial[:, :SHARED].all()
        assert found.values[:, SHARED:].any()


def test_trivial_cells_are_zero_or_one_in_any_model() -> None:
    model, batch = tiny_model("gpt2"), batch_of_one_length()
    for found in node_maps(model, batch, sites=[site for site in SITES if SITES[site].cells != "head"]):
        inside = found.values[found.trivial]
        assert np.isin(inside.round(10), (0, 1)).all(), found.site
        assert not np.isin(found.values[~found.trivial].round(10), (0, 1)).any(), found.site
    assert maps_of(model, batch, "resid_pre").values[-1, -1] == pytest.approx(1, abs=1e-12)


def maps_of(model: PatchableModel, batch: PromptBatch, site: str, **options: object) -> NodeMap:
    """One denoising map."""
    (found,) = node_maps(model, batch, sites=site, directions=DENOISING, **options)
    return found


def test_two_equal_runs_give_no_change_and_no_ratio() -> None:
    """The same prompt twice: every cell is the run itself, and a share of nothing is not given."""
    model, batch = tiny_model("gpt2"), batch_of_one_length()
    sides = Sides.of(model, batch)
    same = replace(sides, corrupt=sides.clean)
    for found in maps_of_sides(same, ("resid_pre", "z", "q_by_pos"), DIRECTIONS, (METRICS["logit_diff"],)):
        assert np.abs(found.patched - found.clean).max() < 1e-12
        assert np.isnan(found.values).all()
        assert "rounding" in str(found.no_meaning)
        assert found.explained().values[0][0] is None


@pytest.mark.parametrize("family", ("gpt2", "llama-gqa", "neox-parallel"))
def test_noising_a_head_is_removing_all_its_outgoing_edges(family: str) -> None:
    model, batch = tiny_model(family), tiny_batch()
    problem = Problem.make(model, batch, metric="logit_diff")
    state, graph = CircuitState(problem), model.graph
    (found,) = node_maps(model, batch, sites="z", directions="noising")
    for layer, h in np.ndindex(graph.n_layers, graph.n_heads):
        src = graph.head_src(layer, h)
        edges = [(src, dst) for dst in graph.edges_mask[src].nonzero()[:, 0].tolist()]
        loss = state.losses(edges, np.ones((1, len(edges)), bool)).item()
        assert found.means[layer, h] == pytest.approx(-loss, abs=1e-10)


@pytest.mark.parametrize("metric", METRICS)
def test_no_memory_and_no_neighbour_changes_a_cell_whatever_is_measured(metric: str) -> None:
    model, batch = tiny_model("llama-gqa"), tiny_batch()
    options = {"sites": ("resid_pre", "mlp_out", "k_by_pos", "z"), "columns": "end", "metrics": metric}
    whole, cut = node_maps(model, batch, **options), node_maps(model, batch, **options, memory=1)
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(one.patched, other.patched, atol=1e-12)
    alone = node_maps(model, batch.select([1]), **(options | {"columns": None}))  # 9 tokens; the shortest has 6
    for one, other in zip(whole, alone, strict=True):
        shared = slice(1, None) if other.site != "z" else slice(None)
        theirs = other.patched[..., 0] if other.site == "z" else other.patched[:, 3:, 0]
        np.testing.assert_allclose(one.patched[:, shared, 1], theirs, atol=1e-10)


def test_a_span_is_all_its_positions_in_prompts_of_any_length() -> None:
    """Two spans that end anywhere: each prompt's cell is what hooks at its own positions give."""
    model, batch = tiny_model("gpt2"), tiny_batch()
    first = batch.attention.long().cumsum(1) <= torch.tensor([[4], [6], [3], [5]])
    ids = torch.where(first, 0, 1)
    batch = replace(batch, named=NamedSpans(("start", "rest"), ids))
    found = maps_of(model, batch, "attn_out")
    assert found.columns == ("start", "rest")
    for i, (row, column) in enumerate(np.ndindex(len(found.rows), 2)):
        prompt = i % batch.n
        alone = batch.select([prompt])
        where = (ids[prompt][-alone.n_pos :] == column).nonzero()[:, 0]
        place = spot(model, "attn_out", row)
        objective = Objective(METRICS["logit_diff"], alone, logits(model, alone.clean))
        expected = objective.values(patched(model, alone.corrupt, alone.clean, place, where)[:, objective.tokens])
        assert found.patched[row, column, prompt] == pytest.approx(expected.item(), abs=1e-10)


def test_several_metrics_share_their_runs() -> None:
    model, batch = tiny_model("gpt2"), batch_of_one_length()
    together = node_maps(model, batch, sites="attn_out", metrics=tuple(METRICS))
    assert [each.metric for each in together[: len(METRICS)]] == list(METRICS)
    for each in together:
        (alone,) = node_maps(model, batch, sites="attn_out", directions=each.direction, metrics=each.metric)
        np.testing.assert_allclose(each.patched, alone.patched, atol=1e-12)


def test_noising_never_lowers_a_divergence() -> None:
    for found in node_maps(tiny_model("gpt2"), batch_of_one_length(), metrics="kl", directions="noising"):
        assert (found.values >= 0).all()


def test_a_window_patches_its_layers_together() -> None:
    """Of three layers each cell of the middle one is all of them, which hooks on all three give too."""
    model, batch = tiny_model("gpt2"), batch_of_one_length()
    found = maps_of(model, batch, "mlp_out", window=3)
    objective = Objective(METRICS["logit_diff"], batch, logits(model, batch.clean))
    for column in range(SHARED, N_POS):
        with ExitStack() as hooks:
            for layer in range(3):
                place = spot(model, "mlp_out", layer)
                hooks.enter_context(hooked(place, putting(read(model, batch.clean, place), column)))
            expected = logits(model, batch.corrupt)
        values = objective.values(expected[:, objective.tokens]).numpy()
        np.testing.assert_allclose(found.patched[1, column], values, atol=1e-10)


def putting(other: torch.Tensor, column: int) -> Callable[[torch.Tensor], None]:
    def put(x: torch.Tensor) -> None:
        x[:, column] = other[:, column]

    return put


def test_a_frame_and_a_page_s_map_say_the_same() -> None:
    model, batch = tiny_model("gpt2"), batch_of_one_length()
    found = maps_of(model, batch, "resid_pre")
    frame, page = found.frame(), found.explained()
    assert len(frame) == len(found.rows) * len(found.columns)
    assert page.values == found.values.tolist()
    assert page.trivial == [tuple(place) for place in np.argwhere(found.trivial).tolist()]
    row = frame[(frame["row"] == "1") & (frame["column"] == found.columns[2])].iloc[0]
    assert (row["value"], row["mean"]) == (found.values[1, 2], found.means[1, 2])
    best = found.strongest(1)[0]
    assert abs(best.mean - found.corrupt.mean()) == np.abs(found.means - found.corrupt.mean())[~found.trivial].max()
    assert found.interval(1, 2).value == pytest.approx(found.values[1, 2])


def test_mistakes_are_told() -> None:
    model, parallel, batch = tiny_model("gpt2"), tiny_model("neox-parallel"), tiny_batch()
    with pytest.raises(TaskError, match=r"prompts of 6 to 9 tokens.*columns='end'"):
        node_maps(model, batch)
    with pytest.raises(UnknownNameError, match="did you mean 'resid_pre'"):
        node_maps(model, batch, sites="residpre")
    with pytest.raises(UnknownNameError, match="known: noising, denoising"):
        node_maps(model, batch, directions="denoise")
    with pytest.raises(UnknownNameError, match="known: each, end, spans"):
        node_maps(model, batch, columns="start")
    with pytest.raises(TaskError, match="names no spans"):
        node_maps(model, batch, columns="spans")
    with pytest.raises(ModelError, match="no resid_mid"):
        node_maps(parallel, batch, sites="resid_mid", columns="end")
    with pytest.raises(RunError, match="window"):
        node_maps(model, batch_of_one_length(), sites="mlp_out", window=0)
