"""The set-up script, run for real: on old interpreters, without a compiler, a network or disk, interrupted, and twice.

tests/toy stands in for this checkout, so that nothing large is installed: its torch is an empty wheel beside it.
"""

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import bootstrap
from tests.toy import backend

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "bench/bootstrap.py"


def copy_of_the_toy(folder: Path) -> Path:
    toy = folder / "a toy"  # with a space
    shutil.copytree(ROOT / "tests/toy", toy)
    (toy / "bench").mkdir()
    shutil.copy(SCRIPT, toy / "bench")
    (toy / "bench/json.py").write_text("raise ImportError('bench/ stands before the standard library')")
    backend.wheel(toy, "torch", "2.13.0")
    return toy


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return copy_of_the_toy(tmp_path)


def environment(toy: Path, **more: str) -> dict[str, str]:
    """This process's, but pip knows the toy's folder alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": toy.as_uri()} | more


def lost_network(toy: Path, port: int) -> dict[str, str]:
    index = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": f"http://127.0.0.1:{port}/simple", "PIP_RETRIES": "0"}
    return environment(toy, **index) | {"PIP_FIND_LINKS": "", "NO_PROXY": "127.0.0.1"}


def venv_of(toy: Path) -> Path:
    return toy.parent / "venv"


def start(toy: Path, env: dict[str, str], python: str = sys.executable, *words: str) -> subprocess.Popen[str]:
    command = [python, "bench/bootstrap.py", "--venv", str(venv_of(toy)), *words]
    return subprocess.Popen(command, cwd=toy, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def set_up(toy: Path, env: dict[str, str], python: str = sys.executable, *more: str) -> tuple[int, str]:
    with start(toy, env, python, *more) as process:
        words = "".join(process.communicate(timeout=120))
    return process.returncode, words


def old_pythons() -> list[str]:
    names = ["python2.7", *(f"python3.{minor}" for minor in range(6, 11))]
    folders = [*map(str, Path.home().glob(".pyenv/versions/*/bin")), *os.get_exec_path()]
    return [found for name in names if (found := shutil.which(name, path=os.pathsep.join(folders)))]


# An interpreter that is not the right one


@pytest.mark.parametrize("python", old_pythons() or [pytest.param("", marks=pytest.mark.skip("no older Python here"))])
def test_an_old_python_is_told_so(python: str, toy: Path) -> None:
    if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} does not run")
    code, words = set_up(toy, environment(toy), python)
    assert code == 3
    assert "3.11 or 3.12 is needed" in words
    assert words.count("\n") == 1


def test_it_parses_everywhere() -> None:
    """Nothing that Python 2.7 cannot read, for machines without one to prove it."""
    text = SCRIPT.read_text()
    assert text.isascii()
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr | ast.Nonlocal)
        assert not any(isinstance(item, ast.Starred) for item in getattr(node, "elts", []))
        assert not isinstance(node, ast.FunctionDef) or not (
            node.returns or node.args.kwonlyargs or node.args.posonlyargs
        )
        assert not isinstance(node, ast.arg) or not node.annotation
        assert not isinstance(node, ast.Raise) or not node.cause


def test_an_interpreter_without_the_packages(toy: Path) -> None:
    bare = [sys.executable, "-S", toy / "bench/bootstrap.py"]
    done = subprocess.run(bare, env=environment(toy), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.endswith("-m pip install -c constraints.txt torch\n")
    other = [*bare, "--constraints", "constraints-2.11.txt"]
    done = subprocess.run(other, env=environment(toy), capture_output=True, text=True, check=False)
    assert done.stderr.endswith("-m pip install -c constraints-2.11.txt torch\n")


# A machine that lacks something


def test_no_compiler(toy: Path) -> None:
    code, words = set_up(toy, environment(toy, PATH="/nonexistent", CXX=""))
    assert (code, "no C++ compiler g++" in words or "no C++ compiler clang++" in words) == (3, True)
    code, words = set_up(toy, environment(toy, CXX="no-such-compiler -O2"))
    assert (code, "no C++ compiler no-such-compiler," in words) == (3, True)
    assert not venv_of(toy).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_little_disk(small_disk: Path) -> None:
    toy = copy_of_the_toy(small_disk)
    code, words = set_up(toy, environment(toy))
    assert code == 3
    assert "has 0.0 GB free" in words
    assert "name a folder on a larger disk, make setup VENV=/path" in words


def test_a_disk_that_fills_up(small_disk: Path, tmp_path: Path) -> None:
    backend.wheel(tmp_path, "large", "1", payload=os.urandom(8_000_000))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-index",
        "--target",
        small_disk / "in",
        "--find-links",
        tmp_path,
    ]
    env = environment(tmp_path, TMPDIR=str(tmp_path))
    done = subprocess.run([*pip, "large"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode
    assert str(bootstrap.explanation(done.stderr)).startswith("the disk is full")


def test_a_package_that_is_not_to_be_had(toy: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "torch==2.14.0"]
    done = subprocess.run(pip, env=environment(toy), capture_output=True, text=True, check=False)
    assert str(bootstrap.explanation(done.stderr)).startswith("the package index has no torch==2.14.0 for this Python")


def test_a_path_with_a_space(toy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "bench/bootstrap.py", "--venv", ".venv"], cwd=toy, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "has a space in its path" in done.stderr) == (3, True)


def test_a_folder_of_someone_else(toy: Path) -> None:
    venv_of(toy).mkdir()
    (venv_of(toy) / "precious").touch()
    code, words = set_up(toy, environment(toy))
    assert (code, "venv was not made by `make setup`" in words) == (3, True)
    assert (venv_of(toy) / "precious").exists()


def test_a_disk_that_is_read_only(small_disk: Path) -> None:
    toy = copy_of_the_toy(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, words = set_up(toy, environment(toy))
    assert (code, "a folder is not writable: name one that is" in words) == (3, True), words


# An environment, from start to end


@pytest.mark.slow
def test_interrupted_finished_repeated_changed_broken(toy: Path) -> None:
    venv, env = venv_of(toy), environment(toy)

    interrupt(toy)
    (venv / "half").touch()
    racing = [start(toy, env) for _ in range(2)]
    words = "".join(process.communicate(timeout=120)[1] for process in racing)
    assert [process.returncode for process in racing] == [0, 0], words
    assert words.count("is ready") == 1, words
    assert not (venv / "half").exists(), "an interrupted environment is made anew"

    log = (venv / "setup.log").stat().st_mtime_ns
    begin = time.monotonic()
    assert set_up(toy, env) == (0, "")
    assert time.monotonic() - begin < 2  # 0.1 s on an idle machine
    assert set_up(toy, env, str(venv / "bin/python")) == (0, "")
    assert (venv / "setup.log").stat().st_mtime_ns == log, "pip ran again"

    (venv / "kept").touch()
    (toy / "constraints.txt").write_text("torch==2.13.0\n# changed\n")
    code, words = set_up(toy, env)
    assert (code, "is ready" in words, (venv / "kept").exists()) == (0, True, True), words

    backend.wheel(toy, "torch", "2.11.0")
    (toy / "constraints-2.11.txt").write_text("torch==2.11.0\n")
    code, words = set_up(toy, env, sys.executable, "--constraints", "constraints-2.11.txt")
    installed = [path.name for path in venv.glob("lib/*/site-packages/torch-*")]
    assert (code, "is ready" in words, installed) == (0, True, ["torch-2.11.0.dist-info"]), words

    (venv / "bin/python").unlink()
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    code, words = set_up(toy, lost_network(toy, closed))
    assert (code, "pip cannot reach the package index: check the network" in words) == (3, True), words
    assert f"details are in {venv / 'setup.log'}" in words
    assert not (venv / "kept").exists(), "a broken environment is made anew"
    assert not (venv / "setup.json").exists()


def interrupt(toy: Path) -> None:
    """Ctrl-C while pip waits for an index that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = start(toy, lost_network(toy, silent.getsockname()[1]))
        silent.settimeout(60)
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            _, words = process.communicate(timeout=30)
    assert process.returncode == 130, words
    assert words.endswith("setup: interrupted; `make setup` starts again\n")
    assert not (venv_of(toy) / "setup.json").exists()


def test_constraints_that_are_not_there(toy: Path) -> None:
    code, words = set_up(toy, environment(toy), sys.executable, "--constraints", "constraints-1.0.txt")
    assert (code, words) == (3, f"setup: {toy} has no constraints-1.0.txt: name a file that it has\n")
    assert not venv_of(toy).exists()


def test_constraints_that_do_not_fit_are_named(tmp_path: Path) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('ERROR: ResolutionImpossible')")
    with (
        open(tmp_path / "log", "w") as log,
        pytest.raises(
            bootstrap.CannotSetUp, match=r"no versions fit together: restore constraints-2\.11\.txt, or name"
        ),
    ):
        bootstrap.run_logged([sys.executable, str(tmp_path / "pip.py"), "-c", "constraints-2.11.txt"], log)


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        ("ProxyError('Cannot connect to proxy.')", "HTTPS_PROXY"),
        (
            "NewConnectionError(Failed to resolve)\nNo matching distribution found for torch==2.13.0",
            "check the network",
        ),
        ("No matching distribution found for torch==2.13.0", "no torch==2.13.0"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "pip cache purge"),
        ("OSError: [Errno 30] Read-only file system: '/x'", "VENV=/path"),
        ("something new", "None"),
    ],
)
def test_what_pip_says_and_what_cures_it(words: str, cure: str) -> None:
    assert cure in str(bootstrap.explanation(words))
