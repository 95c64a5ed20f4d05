"""Several processes at one run, as torchrun starts them: each does some of the work, and all get all of its results.

    torchrun --nproc-per-node 2 -m acdc discover ioi --model smollm2 --method eap

Work that can be parted comes as items that don't depend on how many processes there are, like blocks of prompts. Each
process does some of them, gets the others' results in the items' order, and goes on as one process alone would: one and
many sum in the same order, get the same bits and come to the same decisions.

What goes from process to process is small beside the work (a block's scores, its logits at the targets), and it is
summed on the CPU; so gloo carries it, wherever it was computed.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from acdc.errors import ACDCError, RunError

__all__ = ["ALONE", "ProcessEnded", "Ranks", "joined", "leave", "own_device", "rank_given"]

T = TypeVar("T")
R = TypeVar("R")

LONGEST_WAIT = timedelta(days=30)  # for another process's item; one that ends is noticed at once


class ProcessEnded(Exception):
    """Another process of the run failed, so this one ends too."""


@dataclass(frozen=True)
class _Told:
    """What a process tells the others.

    Attributes:
        place: How many exchanges were before, and between how many items: the same for all, or they came apart.
        value: The result of its item.
        failed: Why its item has no result: a mistake that all processes raise.
        ended: Why the process goes no further.
        stopped: Whether that was asked of it, like by Ctrl-C.
    """

    place: tuple[int, int]
    value: Any = None
    failed: str | None = None
    ended: str | None = None
    stopped: bool = False


class Ranks:
    """The processes of one run, seen from one of them.

    Args:
        rank: Which one this is, from 0.
        n: How many there are.
    """

    def __init__(self, rank: int = 0, n: int = 1) -> None:
        self.rank, self.n = rank, n
        self._exchanges, self._apart, self._over = 0, n == 1, False

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prints, and writes files."""
        return self.rank == 0

    def spread(self, items: Sequence[T], work: Callable[[T], R]) -> Iterator[R]:
        """`work` of every item, in their order; each is done by one process. Tensors come back on the CPU.

        All processes must ask for the same. Where `work` itself spreads something, its process does that alone.

        Raises:
            ACDCError: `work` raised it for an item; all processes do then.
            ProcessEnded: Another process is gone.
        """
        if self._apart:
            yield from map(work, items)
            return
        for start in range(0, len(items), self.n):
            some = items[start : start + self.n]
            place, error, value = (self._exchanges, len(items)), None, None
            try:
                value = self._own(some[self.rank : self.rank + 1], work)
            except ACDCError as raised:
                error = raised
            for told in self._exchange(_Told(place, value, None if error is None else str(error)))[: len(some)]:
                if told.failed is not None:
                    raise RunError(told.failed) if error is None else error
                yield told.value

    def by_first(self, work: Callable[[], R]) -> R:
        """What `work` gives in the first process, to all."""
        return next(self.spread([None], lambda _: work()))

    def end(self, error: BaseException | None) -> None:
        """Tell the others that this process is done, or why it stops.

        Raises:
            ProcessEnded: Another one failed.
            KeyboardInterrupt: Another one was stopped.
        """
        if not self._over:
            self._over = True
            told = _Told((self._exchanges, 0))
            if error is not None:
                stopped = isinstance(error, KeyboardInterrupt | SystemExit)
                told = _Told((self._exchanges, 0), ended=_reason(error), stopped=stopped)
            self._exchange(told)

    def _own(self, items: Sequence[T], work: Callable[[T], R]) -> Any:
        """The result of this process's item, if it has one."""
        self._apart = True
        try:
            return next(map(_on_cpu, map(work, items)), None)
        finally:
            self._apart = False

    def _exchange(self, own: _Told) -> list[_Told]:
        """What every process tells at this point, by rank."""
        import torch.distributed as dist

        self._exchanges += 1
        found: list[Any] = [None] * self.n
        try:
            with _uninterrupted():
                dist.all_gather_object(found, own)
        except RuntimeError:  # its connection was closed
            self._over = True
            raise ProcessEnded("another process of this run ended without a word; was it killed?") from None
        for rank, told in enumerate(found):
            if told.ended is not None and rank != self.rank:
                self._over = True
                raise KeyboardInterrupt if told.stopped else ProcessEnded(f"process {rank}: {told.ended}")
        if own.ended is None and len({told.place for told in found}) > 1:
            raise ProcessEnded("the processes compute different things; start them on equal machines")
        return found


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """All processes that torchrun started for this run; this one alone where nothing says that there are more.

    An error that leaves the block in one process ends the others too, which raise `ProcessEnded` at their next item. A
    script that is done calls `leave`.
    """
    if not _is_one_of_several():
        yield ALONE
        return
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=LONGEST_WAIT)
    ranks = Ranks(dist.get_rank(), dist.get_world_size())
    try:
        yield ranks
    except BaseException as error:
        with suppress(ProcessEnded, KeyboardInterrupt):
            ranks.end(error)
        raise  # the group lives on, so that `leave` can wait for the first process's words
    ranks.end(None)
    dist.destroy_process_group()


def leave(code: int = 0) -> None:
    """End one of several processes with this exit code; a process alone goes on.

    After an error it waits until the first process has ended: torchrun stops all when one is gone, and before that the
    first is to say why. It ends at once, since threads that served the exchange may abort an interpreter's usual end.
    """
    if not _is_one_of_several():
        return
    try:
        if code:
            _wait_for_first()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait_for_first() -> None:
    import torch.distributed as dist

    if dist.is_initialized() and dist.get_rank():
        with suppress(RuntimeError):
            dist.all_gather_object([None] * dist.get_world_size(), None)


def rank_given() -> int:
    """Which process this is, as torchrun says; 0 where it says nothing."""
    return int(os.environ["RANK"]) if _is_one_of_several() else 0


def own_device(device: str) -> str:
    """The device that this process takes where `device` is asked for: of several processes each takes its own GPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device.startswith("cuda") and _is_one_of_several() else device


def _is_one_of_several() -> bool:
    given = os.environ
    return given.get("WORLD_SIZE", "1") != "1" and {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= given.keys()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and requests to end wait until the block is over: who leaves an exchange half done confuses the others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = list[int]()
    before = {each: signal.signal(each, lambda n, _: waiting.append(n)) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if waiting:
        signal.raise_signal(signal.Signals(waiting[0]))


def _on_cpu(value: Any) -> Any:
    """A tensor where gloo can carry it; anything else as it is."""
    return value.cpu() if hasattr(value, "cpu") else value


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, ACDCError) else f"{type(error).__name__}: {error}"
