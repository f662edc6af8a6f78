"""One campaign at a time in a checkout, as two would time each other; and one that ends in order when it is told to."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bench.errors import StoreError
from bench.paths import LOCAL

LOCK = LOCAL / ".campaign.lock"


@contextmanager
def alone(lock: Path = LOCK) -> Iterator[None]:
    """Hold `lock`; SIGTERM and SIGHUP end what is inside as Ctrl-C does. Raises StoreError where another holds it."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
    except BlockingIOError:
        raise StoreError("another campaign is running in this checkout: wait for it") from None
    except OSError as error:
        raise StoreError(f"{error.filename or lock} cannot be written: {error.strerror}") from None


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
