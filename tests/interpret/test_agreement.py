"""Ways that agree correlate; where they differ, the verdict says how."""

import pytest

from acdc.interpret.agreement import agreement

NODES = [f"a0.h{i}" for i in range(8)]


def _column(*values: float) -> dict[str, float | None]:
    return dict(zip(NODES, map(float, values), strict=False))


def test_equal_ways_correlate_and_name_the_same_nodes() -> None:
    column = _column(5, 4, 0.3, 0.2, 0.1, 0.05, 0.01, 0.0)
    found = agreement(NODES, {"effect": column, "attribution": {name: -2 * (x or 0.0) for name, x in column.items()}})
    assert found.correlations == [[1.0, 1.0], [1.0, 1.0]], "sizes are compared"
    assert found.verdicts[0].startswith("strong by 2 of 2 ways (effect, attribution)")
    assert "wrong sign" in found.verdicts[0] and found.verdicts[5] == "strong by 0 of 2 ways"


@pytest.mark.parametrize(
    "columns, said",
    [
        ({"effect": (5, 4), "restores": (0, 4)}, "needed, but nothing comes back"),  # one side of an AND
        ({"effect": (0, 4), "restores": (5, 4)}, "not needed: others do the same"),  # one side of an OR
        ({"effect": (0, 4), "direct": (5, 4)}, "made up for"),
        ({"effect": (5, 4), "direct": (0, 4)}, "acts through other nodes"),
        ({"effect": (5, 4), "attribution": (0.1, 4)}, "attribution misses it"),
        ({"effect": (-5, 4)}, "works against the task"),
    ],
)
def test_a_disagreement_has_its_reading(columns: dict[str, tuple[float, float]], said: str) -> None:
    others = (0.3, 0.2, 0.1, 0.05, 0.01, 0.0)
    found = agreement(NODES, {name: _column(*first, *others) for name, first in columns.items()})
    assert said in found.verdicts[0]
    assert said not in found.verdicts[1]


def test_what_was_not_measured_counts_for_nothing() -> None:
    found = agreement(NODES, {"effect": _column(1, 2, 3), "direct": _column(3, 2, 1)})
    assert found.values[3] == [None, None] and found.verdicts[3] == "not measured"
    assert found.correlations[0][1] is None, "three nodes are too few"
    constant = agreement(NODES, {"effect": _column(*[1.0] * 8), "direct": _column(*range(8))})
    assert constant.correlations[0][1] is None
    assert agreement([], {}).values == []
