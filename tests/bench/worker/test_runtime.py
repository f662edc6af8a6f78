import os
import tempfile
from pathlib import Path

import pytest

from bench.worker.failure import describe_failure
from bench.worker.runtime import settle_folders
from resnet import cache


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables and folders of this test alone, with what the process remembers of them."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(cache, "notes", [])
    os.environ["TMPDIR"] = str(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TORCHINDUCTOR_CACHE_DIR", "RESNET_CACHE", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)


def test_folders_that_serve_stay(tmp_path: Path) -> None:
    before = dict(os.environ)
    settle_folders()
    assert (dict(os.environ), cache.notes) == (before, [])


@pytest.mark.parametrize("name", ["a b", "it's", 'a"b', "a\nb"])
def test_compilers_get_temporary_files_whose_path_is_one_word(name: str, tmp_path: Path) -> None:
    os.environ["TMPDIR"] = str(tmp_path / name)
    (tmp_path / name).mkdir()
    settle_folders()
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == "/tmp"
    assert len(cache.notes) == 1


@pytest.mark.filterwarnings("ignore::resnet.cache.CacheWarning")
def test_a_user_without_a_home_gets_one_that_can_be_written(tmp_path: Path) -> None:
    os.environ["HOME"] = "~"  # as `~` stays where there is no entry for the user
    settle_folders()
    given = Path(os.environ["HOME"])
    assert given.parent == tmp_path
    assert os.access(given, os.W_OK)
    assert len(cache.notes) == 1
    assert cache.notes[0].startswith(f"the cache is in {given}, as ")


class InductorError(Exception):
    """As torch names the one that ends a compilation."""


def test_a_compiler_that_cannot_take_its_folder_is_a_sentence_with_the_cure() -> None:
    with pytest.raises(InductorError) as raised:
        raise InductorError("CppCompileError: C++ compile error\nCommand: g++ /tmp/a b/x.cpp")
    error = raised.value
    assert describe_failure(error)["reason"].startswith("InductorError: CppCompileError")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = "/tmp/a b"
    assert describe_failure(error) == {
        "status": "error",
        "reason": "torch.compile's compiler takes no space or quote in the path of its files: "
        "set TMPDIR and TORCHINDUCTOR_CACHE_DIR to folders without",
    }


@pytest.mark.parametrize(("why", "status"), [("", "memory"), (": Operation not permitted", "error")])
def test_a_library_that_the_linker_has_no_memory_for_is_no_broken_one(why: str, status: str) -> None:
    error = ImportError(f"/lib/a.so: failed to map segment from shared object{why}")
    try:
        raise error
    except ImportError:
        assert describe_failure(error)["status"] == status
