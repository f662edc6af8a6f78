"""The code that a child runs is that of the checkout that is recorded, whatever modules the current folder has."""

import json
import os
import time
from pathlib import Path

import pytest

from bench.machine.watch import Watch
from bench.runs.process import ask
from tests.bench.runs.children import assert_children_answer


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose modules have names of this project or the standard library, and leave a file."""
    for name in ("bench", "kernels", "resnet", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write(__file__)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_child_imports_the_modules_of_the_current_folder(elsewhere: Path) -> None:
    with Watch() as watch:
        end = time.monotonic() + 60
        while not watch.so_far().readings and watch._child and watch._child.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        assert watch.so_far().readings
    assert_children_answer(elsewhere)
    assert not (elsewhere / "ran").exists()


@pytest.mark.parametrize(("root", "words"), [("", "another version of the code"), ("/b", "of another checkout, b")])
def test_a_child_that_runs_other_code_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, words: str
) -> None:
    messages = [{"stage": "start", "root": root}] if root else []
    lines = "".join(json.dumps(message) + "\n" for message in [*messages, {"status": "ok"}])
    worker = tmp_path / "other" / "bench" / "worker"
    worker.mkdir(parents=True)
    (worker.parent / "__init__.py").touch()
    (worker / "__init__.py").touch()
    (worker / "__main__.py").write_text(f"import os, sys\nos.write(int(sys.argv[1]), {lines.encode()!r})\n")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path / 'other')!r})\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    answer = ask({"job": "none such"}, 60)
    assert answer.status == "error"
    assert words in answer.reason
    assert "sitecustomize.py" in answer.reason
