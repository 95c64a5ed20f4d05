"""A process that shares work with others until one of them fails: `python -m tests.ranks.failing HOW`."""

import os
import signal
import sys
import time

from acdc.errors import ACDCError, TaskError
from acdc.ranks import ProcessEnded, Ranks, joined, leave


def square(x: int) -> int:
    if x == 5:
        raise TaskError("5 can't be squared")
    return x * x


def share(ranks: Ranks, how: str) -> None:
    try:
        list(ranks.spread(range(7), square))
    except ACDCError as error:
        print(f"{ranks.rank}: {error}", flush=True)
    assert list(ranks.spread([1, 2, 3], square)) == [1, 4, 9], "work goes on after a mistake that all have seen"
    if ranks.rank == 1:
        if how == "bug":
            raise ValueError("a bug")
        os.kill(os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGINT)
        time.sleep(60)
    list(ranks.spread(range(1000), lambda x: time.sleep(0.01)))


if __name__ == "__main__":
    try:
        with joined() as ranks:
            share(ranks, sys.argv[1])
    except (ProcessEnded, KeyboardInterrupt, ValueError) as error:
        print(f"{os.environ['RANK']}: {type(error).__name__}: {error}", flush=True)
        leave(3)
