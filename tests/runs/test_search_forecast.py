"""A search that would take hours says so from its first seconds, once, and names a faster method."""

import pytest

from acdc.discovery import METHODS
from acdc.progress import Progress
from acdc.runs.search_forecast import warning_of_hours


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(method: str, seconds_an_edge: float, caplog: pytest.LogCaptureFixture, until: float = 60.0) -> list[str]:
    """What is warned of in a search of 123,211 edges, all of which need measuring."""
    clock, heard = Clock(), list[Progress]()
    note = warning_of_hours(method, heard.append, clock)
    for done in range(0, int(until / seconds_an_edge), 5):
        clock.now = done * seconds_an_edge
        note(Progress(done, 123_211, 123_211, "sweep 1", done, "edges"))
    assert [progress.done for progress in heard] == list(range(0, int(until / seconds_an_edge), 5)), "all are passed on"
    return [record.getMessage() for record in caplog.records]


def test_hours_are_told_once_with_a_faster_method(caplog: pytest.LogCaptureFixture) -> None:
    (message,) = told("acdc", 0.1, caplog)
    assert message == (
        "method acdc takes about 3 h 20 min more at the pace of its first seconds; --method hap is much faster"
    )


def test_what_takes_less_than_an_hour_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert told("acdc", 0.02, caplog) == []


def test_nothing_is_said_before_some_seconds_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    assert told("acdc", 0.1, caplog, until=29.0) == []


def test_a_faster_method_is_one_that_there_is() -> None:
    for method in METHODS.values():
        assert method.faster is None or METHODS[method.faster].name == method.faster != method.name
