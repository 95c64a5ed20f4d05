"""A request to end is obeyed, also where the exception that it raises is lost."""

import signal

import pytest

from acdc.errors import EndRequested
from acdc.progress import Progress, ending
from acdc.progress.bars import shown
from acdc.progress.ending import ask_to_end


class Careless:
    """What happens in a destructor is swallowed by the interpreter."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_request_that_is_lost_is_obeyed_at_the_next_sign_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_asked", [])
    before = signal.signal(signal.SIGTERM, ask_to_end)
    try:
        with shown(True) as tell, pytest.raises(EndRequested) as raised:
            tell(Progress(0, 2))
            careless = Careless()
            del careless  # nothing is raised here
            tell(Progress(1, 2))
        assert raised.value.code == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_request_is_obeyed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_asked", [])
    before = signal.signal(signal.SIGTERM, ask_to_end)
    try:
        with pytest.raises(EndRequested):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
