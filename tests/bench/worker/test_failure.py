"""The reason of a failure names the folder that is full, and what cures it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bench.worker.failure import describe_failure
from resnet.cache import CacheError
from resnet.quant.network import check_named


def failed(error: Exception) -> dict[str, str]:
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as cause:
            raise error from cause
    except Exception as caught:
        return dict(describe_failure(caught))


def test_a_full_folder_of_a_library_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tiny))  # of 64 KiB
    monkeypatch.setenv("TMPDIR", "/proc")
    ended = failed(RuntimeError("no kernel was compiled"))
    assert ended["status"] == "error"
    assert ended["reason"].startswith("RuntimeError: no kernel was compiled (")
    assert f"; there is no room in {tiny} (TRITON_CACHE_DIR): free some space" in ended["reason"]


def test_another_error_names_no_folder(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tiny))
    with pytest.raises(RuntimeError, match="no kernel") as caught:
        raise RuntimeError("no kernel was compiled")
    assert "room" not in describe_failure(caught.value)["reason"]


def test_what_this_project_refuses_is_a_sentence_and_a_library_s_error_has_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.worker.failure.blame", lambda error: None)  # other tests load tests as outside code
    with pytest.raises(ValueError, match="no layer") as refused:
        check_named(["conv9"], ["conv1"])
    assert describe_failure(refused.value)["reason"] == "no layer is called conv9; there are conv1"
    with pytest.raises(ValueError, match="invalid literal") as unforeseen:
        int("conv9")
    assert describe_failure(unforeseen.value)["reason"].startswith("ValueError: invalid literal")


def test_the_caches_own_sentence_stands_alone() -> None:
    assert failed(CacheError("it is full: free some space")) == {
        "status": "error",
        "reason": "it is full: free some space",
    }
