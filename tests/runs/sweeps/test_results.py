"""A sweep's table: what is put together, and what is drawn of it."""

from pathlib import Path

import pandas as pd
import pytest

from acdc.runs.sweeps.figures import draw_faithfulness, draw_time
from acdc.runs.sweeps.forecast import CellForecast, total_seconds
from acdc.runs.sweeps.results import ARGUMENTS, MEASURED, summarised, varied

pytestmark = pytest.mark.fast


def frame(**columns: list) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    base = {name: [None] * n for name in (*ARGUMENTS, *MEASURED)} | {"task": ["ioi"] * n, "model": ["m"] * n}
    base |= {"method": ["eap"] * n, "metric": ["kl"] * n, "seed": list(range(n)), "state": ["finished"] * n}
    table = pd.DataFrame({**base, **columns})
    numbers = [name for name in MEASURED if name not in ("no_meaning", "acdc", "torch")]
    return table.astype(dict.fromkeys(numbers, float))


def test_seeds_are_put_together_and_nothing_else_is() -> None:
    table = frame(
        **{
            "method": ["eap", "eap", "acdc", "acdc", "acdc"],
            "options.tau": [None, None, 0.1, 0.1, 0.2],
            "n_edges": [10, 20, 5, None, 3],
            "state": ["finished", "finished", "finished", "failed", "finished"],
        }
    )
    assert varied(table) == ["method", "options.tau"]
    found = summarised(table)
    assert found["method"].tolist() == ["eap", "acdc", "acdc"]
    assert found["runs"].tolist() == [2, 1, 1] and found["cells"].tolist() == [2, 2, 1]
    assert found["n_edges"].tolist() == [15, 5, 3]
    assert found["n_edges_sd"][0] == pytest.approx(50**0.5)
    assert found["n_edges_sd"].isna().tolist() == [False, True, True]


def test_pictures_show_each_method_and_are_the_same_each_time(tmp_path: Path) -> None:
    table = frame(
        task=["ioi", "ioi", "ioi", "recall"],
        method=["eap", "acdc", "acdc", "eap"],
        n=[5, 5, 9, 5],
        metric=["nll", "kl", "kl", "nll"],
        n_edges=[0, 10, 20, 7],
        n_edges_of_model=[100, 100, 100, 50],
        faithfulness=[0.0, 0.8, 0.9, None],
        held_out_faithfulness=[None, 0.7, 0.8, None],
        search_seconds=[0.0, 2.0, 3.0, 400.0],
    )
    path = draw_faithfulness(table, tmp_path / "a.svg")
    text = path.read_text()
    assert "ioi, m" in text and "eap, by nll" in text and "acdc, by kl" in text
    assert draw_faithfulness(table, tmp_path / "b.svg").read_bytes() == path.read_bytes()
    assert "recall, m" in draw_time(table, tmp_path / "t.svg").read_text()


def test_a_line_joins_runs_that_differ_in_options_alone(tmp_path: Path) -> None:
    """Each line of a picture is a path of its own; circuits found by noising and by denoising aren't on one curve."""

    def n_lines(**columns: list) -> int:
        table = frame(n_edges=[5, 11], n_edges_of_model=[100, 100], faithfulness=[1.0, 0.1], **columns)
        return draw_faithfulness(table, tmp_path / "a.svg").read_text().count('<g id="line2d_')

    apart = n_lines(direction=["noising", "denoising"])
    assert n_lines(**{"options.tau": [0.1, 0.2]}) == apart + 1
    assert n_lines(**{"options.tau": [0.1, 0.2], "direction": ["noising", "denoising"]}) == apart


def test_the_sum_of_forecasts_knows_the_longest_cell() -> None:
    known = [CellForecast(60.0), CellForecast(10.0), CellForecast(0.0)]
    assert total_seconds(known, 1) == (70.0, False)
    assert total_seconds(known, 4) == (60.0, False)
    assert total_seconds([*known, CellForecast(None)], 1) == (70.0, True)
    assert total_seconds([CellForecast(5.0, at_least=True)], 2) == (5.0, True)
