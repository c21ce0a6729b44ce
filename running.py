"""What our processes do alike: run until a signal, and log what becomes of their parts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Callable

import structlog
import trio

from restarts import ChildEvent, Event
from serving import CannotListen

_log = structlog.get_logger("running")


async def run_until_signal(run: Callable[[], Awaitable[object]], *, stop_s: float | None = None) -> None:
    """Run until SIGINT or SIGTERM. `stop_s`: after so long the process ends, whatever still holds on."""
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            nursery.start_soon(run)
            async for number in signals:
                _log.info("stopping", signal=signal.Signals(number).name)
                if stop_s is not None:
                    give_up_after(stop_s)
                nursery.cancel_scope.cancel()
                break


def give_up_after(seconds: float, leave: Callable[[int], None] = os._exit) -> None:
    """A part that does not end can't be killed; the process can."""
    timer = threading.Timer(seconds, leave, (3,))
    timer.daemon = True
    timer.start()


def log_child(event: ChildEvent) -> None:
    """What happened to a part of a process, into the log."""
    what = {"supervisor": event.supervisor, "child": event.child}
    match event.event:
        case Event.READY | Event.ENDED:
            _log.debug("a part is as it should be", **what, now=event.event.value)
        case Event.RESTARTING:
            _log.info("a part is started again", **what, in_s=round(event.delay_s, 2))
        case Event.FAILED if isinstance(event.error, CannotListen):
            _log.error(str(event.error), **what)
        case _:
            _log.error("a part failed", **what, now=event.event.value, exc_info=event.error)
