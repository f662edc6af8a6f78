"""A lock for one campaign at a time in a checkout, as two would disturb each other, and an orderly end by signals."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import StoreError
from bench.paths import LOCAL

LOCK = LOCAL / ".campaign.lock"


@contextmanager
def campaign_lock(lock: Path = LOCK) -> Iterator[None]:
    """Take `lock`; SIGTERM and SIGHUP end the block as Ctrl-C does. Raises StoreError if another campaign has it."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            handlers = {n: signal.signal(n, signal.default_int_handler) for n in (signal.SIGTERM, signal.SIGHUP)}
            try:
                yield
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
    except BlockingIOError:
        raise StoreError("another campaign is running in this checkout: wait for it") from None
    except OSError as error:
        raise StoreError(f"{error.filename or lock} cannot be written: {error.strerror}") from None
