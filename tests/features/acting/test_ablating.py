"""What ablating found features changes is what a run without them says, and a control stands beside it."""

import pytest
import torch

from acdc.features.acting import Push, ablate_found, contrast, pushed
from acdc.metrics import get_metric, top1_accuracy
from tests.features.reading.planted import AFTER, ON, planted


@pytest.mark.parametrize("named", [None, "nll"])
def test_features_that_hold_are_ablated_beside_a_control(named: str | None) -> None:
    model, dictionary, corpus, token, _ = planted()
    has = ((corpus.clean == token) & corpus.attention & (corpus.position_ids > 0)).any(1)
    sets = [corpus.select(rows.nonzero()[:, 0].tolist()) for rows in (has, ~has)]
    found = contrast(model, dictionary, sets[0], sets[1])
    metric = None if named is None else get_metric(named)
    rows = {row.features: row for row in ablate_found(model, dictionary, found, metric=metric, n=12)}
    assert rows.keys() >= {(row.feature,) for row in found.rows if row.holds} >= {(ON,), (AFTER,)}
    row, batch = rows[(ON,)], found.first.few(12).batch
    assert row.firing == "first" and (row.first.n, row.first.n_fires) == (12, 12)
    assert (row.second.n, row.second.n_fires, row.second.kl.value, row.second.n_changed) == (12, 0, 0, 0)
    assert row.control.startswith("random direction")  # the dictionary's only other features are tested, or silent
    with torch.no_grad():
        own, without = (
            model.unembed(pushed(model, dictionary, batch, push)[:, -1]) for push in (None, Push.ablate(ON))
        )
    none = torch.empty(12, 0, dtype=torch.long)
    assert row.first.kl.value == pytest.approx(float(get_metric("kl").function(without, none, none, own).mean()))
    assert row.first.n_changed == int((own.argmax(-1) != without.argmax(-1)).sum())
    if metric is None:
        assert row.first.metric is row.first.n_right is row.first.n_wrong is None
        return
    change = [metric.function(each, batch.correct, batch.wrong, own).mean() for each in (without, own)]
    assert row.first.metric is not None and row.first.metric.value == pytest.approx(float(change[0] - change[1]))
    right = [top1_accuracy(each, batch.correct) for each in (own, without)]
    assert row.first.n_wrong == int((right[0] & ~right[1]).sum())


def test_what_matters_changes_more_than_its_control_and_all_of_a_set_are_ablated_together() -> None:
    model, dictionary, corpus, token, _ = planted()
    has = ((corpus.clean == token) & corpus.attention & (corpus.position_ids > 0)).any(1)
    sets = [corpus.select(rows.nonzero()[:, 0].tolist()) for rows in (has, ~has)]
    found = contrast(model, dictionary, sets[0], sets[1])
    rows = ablate_found(model, dictionary, found, n=30)
    for row in rows:
        own, control = row.judged_by
        assert row.matters == (row.p <= 0.05)
        assert not row.matters or own.kl.value > control.kl.value
        assert own.kl.value > control.kl.value or row.p == 1
    together = rows[-1]
    assert set(together.features) == {row.feature for row in found.rows if row.holds} and len(together.features) > 1
    assert together.name == f"all {len(together.features)} of first" and "random directions" in together.control
    batch = found.first.few(30).batch
    with torch.no_grad():
        pushes = [Push.ablate(feature) for feature in together.features]
        own, without = (model.unembed(pushed(model, dictionary, batch, push)[:, -1]) for push in (None, pushes))
    none = torch.empty(30, 0, dtype=torch.long)
    assert together.first.kl.value == pytest.approx(float(get_metric("kl").function(without, none, none, own).mean()))
