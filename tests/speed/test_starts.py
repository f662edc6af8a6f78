"""What becomes of a case that this machine does not run, in `tests.speed.starts`."""

from pathlib import Path

import pytest

from tests.speed import starts

CASE = "resnet18/eager/fp32/b1/i64/stream"
ended = starts.EndedError(f"{CASE}: its process ended")


@pytest.fixture(autouse=True)
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(starts.VARIABLE, "fresh")  # `main` sets it


def test_a_case_that_no_fresh_process_runs_is_left_out_and_alone_it_is_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepared(*_: object) -> None:
        raise ended

    monkeypatch.setattr(starts, "prepared", prepared)
    assert starts.main([CASE, "--output", str(tmp_path)]) == 1
    assert f"{CASE}: its process ended, so it is left out" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_case_that_ends_once_it_is_forked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure_pair(*_: object) -> None:
        raise ended

    monkeypatch.setattr(starts, "why_unmeasured", lambda job, case: "")
    monkeypatch.setattr(starts, "measure_pair", measure_pair)
    with pytest.raises(SystemExit, match="its process ended"):
        starts.main([CASE, "--output", str(tmp_path)])
