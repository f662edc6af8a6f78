"""How a command ends by a signal, with real signals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench import ends
from bench.machine.environment import ROOT

LOADED = (
    "import sys; sys.argv[0] = {!r}; import bench, signal; print(signal.getsignal(signal.SIGINT).__class__.__name__)"
)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ends.SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("number", ends.SIGNALS)
def test_a_signal_ends_a_command_as_an_interrupt_does_and_several_at_once_are_one(number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("these tests were started so that they ignore it, as by nohup")
    ends.end_in_order()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
    for another in ends.SIGNALS:  # while it ends
        os.kill(os.getpid(), another)


def test_one_that_comes_later_ends_what_takes_too_long_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "ONE_S", 0.0)
    ends.end_in_order()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_what_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ends.end_in_order()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize(("program", "handler"), [("-m", "Handlers"), ("a_program_that_imports_bench", "builtin")])
def test_an_interrupt_while_modules_load_has_no_traceback(program: str, handler: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED.format(program)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith(handler)
