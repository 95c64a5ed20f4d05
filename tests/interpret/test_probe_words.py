"""Where the token itself tells a label, that is said; what the model has read is said of the other places."""

from acdc.interpret.explanation import Grid, ProbeTable
from acdc.interpret.probe_words import probe_lines, trivial_columns

ROWS, COLUMNS = ["resid_pre 0", "resid_pre 1", "resid_post 1"], ["S1+1", "S2", "end"]


def table(accuracy: Grid, low: Grid, control: Grid | None = None, causal: Grid | None = None) -> ProbeTable:
    shape = {
        "rows": ROWS,
        "columns": COLUMNS,
        "accuracy": accuracy,
        "low": low,
        "control": control or [],
        "causal": causal or [],
    }
    return ProbeTable(label="order", classes=["a", "b"], majority=0.5, n_train=8, n_test=9, **shape)


READ = table(
    accuracy=[[1.0, 0.6, 0.5], [1.0, 0.9, 0.5], [1.0, 0.9, 0.9]],
    low=[[0.7, 0.4, 0.3], [0.7, 0.7, 0.3], [0.7, 0.7, 0.7]],
    control=[[0.5, 0.5, 0.5], [0.5, 0.6, 0.5], [0.5, 0.4, 0.5]],
    causal=[[0.1, None, 0.0], [0.1, 0.7, 0.0], [0.0, 0.0, 0.2]],
)


def test_a_place_whose_token_tells_the_label_is_not_the_best_one() -> None:
    assert trivial_columns(READ) == [0]
    first, token, best, used = probe_lines(READ)
    assert first == "Probes: label 'order' (a / b), 9 held-out prompts"
    assert token == "  the token itself tells it at S1+1: no layer is needed there"
    assert "read best, and there first, at resid_pre 1, S2: accuracy 0.9" in best
    assert best.endswith("(embedding there 0.6, majority 0.5, control 0.6, selectivity 0.3)")
    assert used == "  taking it away costs most at resid_pre 1, S2: 0.7 of the metric's difference"


def test_where_every_token_tells_it_no_place_is_named() -> None:
    everywhere = table(accuracy=[[1.0] * 3] * 3, low=[[0.7] * 3] * 3)
    assert [line.strip()[:16] for line in probe_lines(everywhere)] == ["Probes: label 'o", "the token itself"]


def test_an_embedding_at_chance_is_no_baseline_to_beat_and_an_unknown_interval_decides_nothing() -> None:
    assert trivial_columns(table(accuracy=[[0.6] * 3] * 3, low=[[0.5] * 3] * 3)) == []
    assert trivial_columns(table(accuracy=[[1.0] * 3] * 3, low=[])) == []
