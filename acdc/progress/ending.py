"""A signal that asks the process to end: obeyed at once, and where that was lost, at the next sign of progress.

The exception that a signal's handler raises is lost where the interpreter swallows exceptions: in a destructor, or in
a callback of compiled code. Then the work would go on as if nobody had asked.
"""

from acdc.errors import EndRequested

__all__ = ["ask_to_end", "obey"]

_asked = list[int]()  # signals' numbers


def ask_to_end(number: int, frame: object = None) -> None:
    """The handler of a signal.

    Raises:
        EndRequested: Always, with the exit code that shells know for the signal.
    """
    _asked.append(number)
    raise EndRequested(128 + number)


def obey() -> None:
    """Go on, unless a signal has asked the process to end.

    Raises:
        EndRequested: One has.
    """
    if _asked:
        raise EndRequested(128 + _asked[0])
