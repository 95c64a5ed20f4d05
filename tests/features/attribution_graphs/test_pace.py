"""Long work says once how long it takes, of the share of it that its first rows were; short work says nothing."""

import pytest

from acdc.features.attribution_graphs import pace
from acdc.progress import Progress


@pytest.mark.parametrize(("seconds", "said"), [(6.0, "takes about 25 s"), (1.0, "")])
def test_the_first_rows_tell_how_long_all_take(seconds: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = [100.0], list[Progress]()
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    count = pace.Counted(told.append, "layers", 4)
    for done, share in ((1, 0.25), (2, 0.5)):
        clock[0] += seconds
        count(done, share=share)
    assert [each.note for each in told] == [said, ""]
    assert [(each.done, each.total, each.unit) for each in told] == [(1, 4, "layers"), (2, 4, "layers")]
