"""Progress: what a bar says, on a terminal and without one, and how steady its forecast is."""

import io
import logging
import time

import pytest

from acdc import discover, evaluate
from acdc.benchmarking import benchmark
from acdc.errors import RunError
from acdc.progress import Pace, Progress, duration, roughly
from acdc.progress.bars import Bar, shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(bar: Bar, progress: Progress, now: float) -> str:
    """The line that is drawn at this time after this note."""
    bar.clock.now = now  # type: ignore[attr-defined]
    bar.note(progress)
    start = len(bar.stream.getvalue())
    bar.draw()
    return bar.stream.getvalue()[start:]


def test_a_bar_says_what_how_far_and_how_long() -> None:
    bar = Bar(Terminal(), clock=Clock())
    assert told(bar, Progress(0, 0, stage="loading gpt2"), 0.0) == "\rloading gpt2: 0 s"
    told(bar, Progress(0, 100, stage="curve", unit="circuits", part=5, n_parts=9), 10.0)
    line = told(bar, Progress(50, 100, stage="curve", unit="circuits", part=5, n_parts=9), 20.0)
    assert line.rstrip() == "\rpart 5 of 9: curve  ████████░░░░░░░░  50 of 100 circuits; 10 s, about 10 s left"


def test_on_a_narrow_terminal_the_bar_gives_way_to_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "88")
    bar = Bar(Terminal(), clock=Clock())
    told(bar, Progress(0, 123_211, stage="sweep 1", unit="edges"), 0.0)
    line = told(bar, Progress(48_020, 123_211, 75_218, "sweep 1", 12_000, "edges"), 184.0)
    assert "░" in line and "left" in line and len(line) <= 88
    monkeypatch.setenv("COLUMNS", "80")
    line = told(bar, Progress(48_020, 123_211, 75_218, "sweep 1", 12_000, "edges"), 185.0)
    assert "░" not in line and "left" in line and len(line) <= 80


def test_no_count_is_taken_over_from_the_stage_before() -> None:
    bar = Bar(Terminal(), clock=Clock())
    told(bar, Progress(123_211, 123_211, 43, "sweep 1", unit="edges"), 100.0)
    line = told(bar, Progress(0, 0, stage="measuring the circuit"), 101.0)
    assert line.strip() == "measuring the circuit: 0 s" and "123" not in line


def test_without_a_terminal_lines_stand_for_the_bar() -> None:
    bar = Bar(io.StringIO(), clock=Clock())
    told(bar, Progress(0, 1000, stage="sweep 1", unit="edges"), 0.0)
    line = told(bar, Progress(200, 1000, 850, "sweep 1", unit="edges"), 60.0)
    assert line == "acdc: sweep 1: 200 of 1,000 edges, 850 remain; 1 min, about 4 min left\n"


def test_a_notebook_s_stream_is_rewritten_too() -> None:
    """It is no terminal, but takes carriage returns; widgets aren't asked for."""
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    assert Bar(stream).live and not Bar(io.StringIO()).live
    bar = Bar(stream, clock=Clock())
    assert told(bar, Progress(0, 0, stage="loading"), 0.0) == "\rloading: 0 s"


def test_the_bar_goes_on_by_itself_and_leaves_nothing_behind() -> None:
    stream = Terminal()
    with Bar(stream) as bar:
        bar.note(Progress(0, 0, stage="loading"))
        until = time.monotonic() + 10
        while stream.getvalue().count("loading") < 2 and time.monotonic() < until:
            time.sleep(0.02)
    assert stream.getvalue().count("loading") >= 2
    assert stream.getvalue().endswith("\r")
    assert not bar._thread.is_alive()


def test_a_warning_gets_a_line_of_its_own() -> None:
    stream = Terminal()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("acdc")
    before, logger.handlers = logger.handlers, [handler]
    try:
        with Bar(stream) as bar:
            bar.note(Progress(0, 0, stage="loading"))
            bar.draw()
            logging.getLogger("acdc.runs.discover").warning("no picture")
        logging.getLogger("acdc.runs.discover").warning("after it")
    finally:
        logger.handlers = before
    assert "\r" + " " * len("loading: 0 s") + "\rno picture\n" in stream.getvalue()
    assert stream.getvalue().endswith("after it\n") and not handler.filters


def test_a_stream_that_is_closed_stops_no_work() -> None:
    stream = Terminal()
    with Bar(stream) as bar:
        stream.close()
        bar.note(Progress(1, 2, stage="x"))
        bar.draw()


def test_a_narrow_encoding_gets_plain_letters() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    bar = Bar(stream, live=True, clock=Clock())
    bar.note(Progress(1, 2, stage="x"))
    bar.draw()
    assert b"########--------" in stream.buffer.getvalue()  # type: ignore[attr-defined]


def test_escape_sequences_of_a_stage_stay_out() -> None:
    bar = Bar(Terminal(), clock=Clock())
    assert "\x1b" not in told(bar, Progress(0, 0, stage="loading \x1b[2Jevil"), 0.0)


@pytest.mark.parametrize("progress", [None, False])
def test_nothing_is_shown_unless_asked(progress: bool | None) -> None:
    with shown(progress) as tell:
        assert tell is None


def test_what_is_no_progress_is_refused() -> None:
    unchecked = shown.__wrapped__.__wrapped__  # without the tests' own checks of types
    with pytest.raises(RunError, match="progress must be True"):
        next(unchecked("yes"))


def test_true_is_a_bar_at_every_entry(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.progress.bars.FIRST_LINE", 0.01)
    monkeypatch.setattr("acdc.progress.bars.LINES", 0.02)
    found = discover("acdc-small", "ioi", tau=0.1, n=6, out=None, progress=True)
    assert "acdc: loading acdc-small" in capsys.readouterr().err
    evaluate(found, only=["faithfulness"], n=4, save=False, progress=True)
    assert "acdc: " in capsys.readouterr().err
    benchmark(["reverse-compiled"], ["random"], n=4, out=None, progress=True)
    assert "acdc: " in capsys.readouterr().err
    discover("acdc-small", "ioi", tau=0.1, n=6, out=None)
    assert capsys.readouterr().err == ""


# -- the forecast


def forecasts(steps: list[tuple[float, int, int]], total: int) -> list[tuple[float, float]]:
    """Time and forecast at each step of (time, done, measured)."""
    pace = Pace()
    pace.note(Progress(0, total, stage="sweep"), 0.0)
    found = []
    for now, done, measured in steps:
        pace.note(Progress(done, total, 1, "sweep", measured, "edges"), now)
        if (left := pace.left(now)) is not None:
            found.append((now, left))
    return found


def test_nothing_is_foretold_from_little() -> None:
    assert forecasts([(0.5, 100, 1), (1.0, 200, 2), (2.9, 300, 3)], 10_000) == []
    assert forecasts([(5.0, 1, 1)], 123_211) == []
    assert forecasts([(70.0, 1, 1)], 123_211) != []


def test_a_steady_pace_is_foretold_exactly() -> None:
    for now, left in forecasts([(float(i), i, i) for i in range(1, 100)], 100):
        assert left == pytest.approx(100 - now, abs=1e-6)


def test_a_crowd_of_free_edges_moves_the_forecast_little() -> None:
    """20 edges a second are measured all along; in every minute a crowd of 10,000 goes at once, for nothing."""
    steps, done, measured = [], 0, 0
    for now in range(1, 600):
        done, measured = done + 20 + (10_000 if now % 60 == 0 else 0), measured + 20
        steps.append((float(now), done, measured))
    found = dict(forecasts(steps, done))
    late = [found[now] / (599 - now) for now in found if 240 < now < 480]
    assert min(late) > 0.5 and max(late) < 2.0
    jumps = [abs(found[now] - found[now - 1]) for now in found if now > 200 and now - 1 in found]
    assert max(jumps) < 30


def test_a_forecast_is_coarse() -> None:
    assert [roughly(s) for s in (0.0, 12.0, 88.0, 100.0, 3500.0, 7300.0)] == [
        "5 s",
        "10 s",
        "1 min 30 s",
        "2 min",
        "58 min",
        "2 h",
    ]


def test_durations_are_in_words() -> None:
    assert [duration(s) for s in (0.2, 59.4, 60.0, 599.7, 3599.0)] == ["0 s", "59 s", "1 min", "10 min", "60 min"]
