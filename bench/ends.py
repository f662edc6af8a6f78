"""How a command ends by a signal: at once while its modules load, and then in order.

It is imported before all other modules. Standard library only.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ONE_S = 1.0  # signals that come within these seconds are one, as of make and of the terminal

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # `python -m bench` has begun nothing yet: a traceback through its imports would say nothing
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_in_order() -> None:
    """Have each of SIGNALS raise KeyboardInterrupt from now on; one that is ignored, as by nohup, stays so."""
    last = -inf

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > ONE_S:
            raise KeyboardInterrupt

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold back the signals that end a command until the end of this context, and raise KeyboardInterrupt for them."""
    if threading.current_thread() is not threading.main_thread():  # no other thread gets them
        yield
        return
    interrupts: list[int] = []
    handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if interrupts:
            raise KeyboardInterrupt
