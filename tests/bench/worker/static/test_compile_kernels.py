"""`bench kernels`: really compiled kernels, good and bad ones, held against records that were planted."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.cli.kernels import kernels as cli_kernels
from bench.machine.environment import ROOT
from bench.runs.process import Answer
from bench.static.kernels import Accepted, Entry, compare

pytest.importorskip("triton")

from bench.errors import StoreError
from bench.worker.static import compile_kernels as emitted
from kernels.table import Table

SPILLING = "resnet18/fp16-n1-7x7x512-3x3-s1-p1-k512-relu"
LARGE = "resnet18/fp16-n1-7x7x512-3x3-s1-p1-k512-residual-relu"
REFUSED = "resnet18/fp16-n1-14x14x256-3x3-s1-p1-k256-relu"
EXACT = "resnet50/fp32-n32-7x7x512-3x3-s1-p1-k512-relu"
# What nobody should choose: 256 sums a thread, four times the shared memory there is, a depth that no instruction has.
BAD = {
    (SPILLING, 80): "ptr-128x256x32-w4-s2-k1-g8",
    (LARGE, 90): "tma-1.8.8x256x64-w8-s8-k1-g8-serial",
    (REFUSED, 80): "ptr-64x64x8-w4-s3-k1-g8",
}


def bench(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "kernels", *words],
        cwd=folder, env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def invoke(*words: str) -> Result:
    """The same in this process, children and all."""
    return CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, ["kernels", *words])


def write_table(path: Path, chosen: dict[tuple[str, int], str]) -> None:
    """A table of configurations, for every GPU that is asked about."""
    rest = {"chosen": "measured", "us": 1.0, "when": "2026-11-23T00:00:00+00:00", "triton": "3.7.1"}
    entries = [
        {"gpu": gpu, "layer": use.partition("/")[2], "config": config, **rest}
        for (use, arch), config in chosen.items()
        for gpu in emitted.GPUS[arch]
    ]
    path.write_text(json.dumps({"schema": 1, "entries": entries}))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bad choices as a table of configurations."""
    path = tmp_path_factory.mktemp("table") / "bad.json"
    write_table(path, BAD)
    return path


def here(job: dict[str, Any], limit_s: float, stage: Callable[[str], None]) -> Answer:
    """The child's work in this process, which has torch and Triton imported anyway: a child takes 4 s to start."""
    return Answer("ok", "", emitted.run(job, stage), 0.0)


@pytest.fixture(scope="module")
def told(table: Path) -> dict[str, Any]:
    """What the command says of the bad kernels and of the good ones beside them, compiled once."""
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli_kernels, "ask", here)
        patch.setattr(cli_kernels, "CHILDREN", 1)
        patch.setattr("kernels.table._installed", Table())
        for arch, uses in (("sm_80", (SPILLING, REFUSED, EXACT)), ("sm_90", (SPILLING, LARGE))):
            globs = [word for use in uses for word in ("-f", use)]
            done = invoke("--table", str(table), "--arch", arch, *globs, "--json")
            assert done.exit_code == (1 if REFUSED in uses else 0), done.stderr
            rows += json.loads(done.stdout)["entries"]
    return {"entries": rows}


@pytest.fixture
def check(told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Holds what was compiled against itself as an accepted record, edited."""

    def run(edit: Callable[[list[dict[str, Any]]], object], *words: str, triton: str = "3.7.1") -> Result:
        monkeypatch.setattr(cli_kernels, "_compiled", lambda *_: ([Entry.of(row) for row in told["entries"]], "3.7.1"))
        rows = copy.deepcopy(told["entries"])
        edit(rows)
        path = tmp_path / "accepted.json"
        Accepted([Entry.of(row) for row in rows], triton, "0123456789", "2026-11-01").save(path)
        return invoke("--arch", "sm_80,sm_90", "--check", str(path), *words)

    return run


def of(rows: list[dict[str, Any]], use: str, arch: int) -> dict[str, Any]:
    """The convolution itself, of the first card that has a row: where its depth is split there is a reduction, too."""
    kernels = ("conv", "conv_tma")
    found, *_ = [
        row
        for row in rows
        if row["arch"] == arch and row["kernel"] in kernels and any(use in other for other in row["uses"])
    ]
    return found


def test_what_is_emitted(told: dict[str, Any]) -> None:
    rows = told["entries"]
    spilling, large, refused = (of(rows, use, arch) for use, arch in BAD)
    assert all(
        row["uses"][0].startswith(config) for row, config in zip((spilling, large, refused), BAD.values(), strict=True)
    )
    assert spilling["facts"]["stack"] > 100
    assert large["facts"]["shared"] > large["facts"]["shared_limit"] == 232_448
    assert large["facts"]["bulk_loads"] > 0
    assert "facts" not in refused
    assert "CompilationError" in refused["failed"]
    good = of(rows, SPILLING, 90)["facts"]
    assert good["stack"] == 0
    assert set(good["tensor"]) == {"HGMMA"}
    assert good["occupancy"] >= 1
    assert (good["operand_a"], good["wait_depth"], good["overwrites"], good["barrier"]) == ("shared", 1, 0, True)
    assert (large["facts"]["operand_a"], large["facts"]["wait_depth"]) == ("registers", 0)
    assert (of(rows, EXACT, 80)["facts"]["tensor"], of(rows, EXACT, 80)["facts"]["product"]) == ({}, True)


def test_as_accepted(check: Callable[..., Result]) -> None:
    """Bad kernels that were accepted are no regressions, however bad; the summary tells of them all the same."""
    done = check(lambda rows: None)
    assert done.exit_code == 0, done.output
    assert "Against 0123456789, accepted on 2026-11-01" in flat(done)
    assert "0 regressed, 0 improved, 0 new, 0 vanished" in flat(done)
    assert re.search(r"\d of them spill, 1 ask for more shared memory than there is", flat(done))


def flat(done: Result) -> str:
    return " ".join(done.output.split())


def less(use: str, arch: int, **facts: Any) -> Callable[[list[dict[str, Any]]], None]:
    """An accepted record in which a kernel was better."""
    return lambda rows: of(rows, use, arch)["facts"].update(facts)


def compiled(use: str, arch: int) -> Callable[[list[dict[str, Any]]], None]:
    def edit(rows: list[dict[str, Any]]) -> None:
        of(rows, use, arch).pop("failed")
        of(rows, use, arch)["facts"] = of(rows, SPILLING, 90)["facts"]

    return edit


@pytest.mark.parametrize(
    ("use", "arch", "edit", "words"),
    [
        (SPILLING, 80, less(SPILLING, 80, stack=0, spill_stores=0), r"spills: none -> \d+ bytes of stack, \d+ stores"),
        (EXACT, 80, less(EXACT, 80, tensor={"HMMA": 64}), "tensor cores: 64 HMMA -> none"),
        (SPILLING, 90, less(SPILLING, 90, tensor={"UTCHMMA": 4}), r"tensor cores: 4 UTCHMMA -> \d+ HGMMA"),
        (SPILLING, 90, less(SPILLING, 90, bulk_loads=9), "bulk loads: 9 -> none"),
        (SPILLING, 90, less(SPILLING, 90, bulk_stores=1), "bulk stores: 1 -> none"),
        (SPILLING, 90, less(SPILLING, 90, set_registers=2), "setmaxnreg: 2 -> none"),
        (LARGE, 90, less(LARGE, 90, shared=200_000), "shared memory: 200,000 of 232,448 bytes -> 319,"),
        (
            EXACT, 80, less(EXACT, 80, registers=64, occupancy=8),
            r"blocks on an SM: 8 -> \d \(registers 64 -> \d+\)",
        ),
        (
            SPILLING, 90, less(SPILLING, 90, wait_depth=3),
            r"products in flight behind a wait: 3 -> 1",
        ),
        (REFUSED, 80, compiled(REFUSED, 80), "compiles: yes -> no: CompilationError: "),
    ],
    ids=[
        *("spill", "tensor cores", "older tensor cores", "bulk loads", "bulk stores", "setmaxnreg", "shared"),
        *("occupancy", "in flight", "compile"),
    ],
)  # fmt: skip
def test_a_regression_is_found_and_named(
    check: Callable[..., Result], use: str, arch: int, edit: Callable[..., None], words: str
) -> None:
    done = check(edit)
    assert done.exit_code == 1, done.output
    said = flat(done)
    assert "1 regressed" in said
    assert re.search(words, said), said
    assert f"for {use}" in said
    assert re.search(rf"regressed: sm_{arch} conv\w* (ptr|tma)-\S+", said)
    assert "Against 0123456789" in said
    assert re.search(r"this is ([0-9a-f]{10}\+?|unknown):", said)
    (change,) = json.loads(check(edit, "--json").output)["changes"]
    assert (change["kind"], change["arch"], change["layers"]) == ("regressed", arch, [use])


def test_growth_that_costs_no_occupancy_is_none(check: Callable[..., Result]) -> None:
    done = check(less(SPILLING, 90, registers=20, shared=1000, code=16, async_loads=1))
    assert done.exit_code == 0, done.output
    assert "0 regressed, 0 improved" in flat(done)


def test_improvements_are_told(check: Callable[..., Result]) -> None:
    def worse(rows: list[dict[str, Any]]) -> None:
        of(rows, SPILLING, 90)["facts"].update(stack=64, spill_stores=9, tensor={"HMMA": 64})

    done = check(worse)
    assert done.exit_code == 0, done.output
    assert "0 regressed, 1 improved" in flat(done)
    assert "spills: 64 bytes of stack, 9 stores -> none" in flat(done)
    assert "tensor cores: 64 HMMA -> " in flat(done)


def test_another_choice_is_new_and_must_not_be_bad(check: Callable[..., Result]) -> None:
    """The same layers by other configurations: a bad one fails, as does one off the tensor cores."""

    def others(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["uses"] = [f"ptr-64x64x64-w4-s3-k1-g8/{use.partition('/')[2]}" for use in row["uses"]]
            row["facts"] = of(rows, SPILLING, 90)["facts"]
            row.pop("failed", None)

    done = check(others, "--json")
    assert done.exit_code == 1
    changes = json.loads(done.output)["changes"]
    regressed = {
        layer: change["what"] for change in changes if change["kind"] == "regressed" for layer in change["layers"]
    }
    assert set(regressed) >= {SPILLING, LARGE, REFUSED, EXACT}
    assert "spills: " in regressed[SPILLING][0]
    assert "shared memory: " in regressed[LARGE][0]
    assert "does not compile: CompilationError" in regressed[REFUSED][0]
    assert re.match(r"tensor cores: \d+ HGMMA -> none", regressed[EXACT][0])
    assert regressed[EXACT][-1] == "in place of ptr-64x64x64-w4-s3-k1-g8"
    assert {change["kind"] for change in changes} == {"regressed", "new", "vanished"}


def test_what_is_gone_or_not_asked_for_is_no_failure(check: Callable[..., Result]) -> None:
    def more(rows: list[dict[str, Any]]) -> None:
        rows.append(of(rows, SPILLING, 90) | {"uses": ["ptr-1x1x1-w4-s1-k1-g8/resnet18/fp16-n1-gone"]})
        rows.append(of(rows, SPILLING, 90) | {"arch": 100, "uses": ["ptr-1x1x1-w4-s1-k1-g8/resnet18/elsewhere"]})

    done = check(more)
    assert done.exit_code == 0, done.output
    assert "1 vanished" in flat(done)
    assert "resnet18/fp16-n1-gone no longer compiled" in flat(done)
    assert "elsewhere" not in flat(done)
    assert "0 vanished" in flat(check(more, "-f", "7x7"))


def test_another_triton_s_record_fails_nothing_that_runs(check: Callable[..., Result]) -> None:
    """The code may be the same and the compiler another: it says so, and shows what is worse."""
    done = check(less(EXACT, 80, tensor={"HMMA": 64}), triton="3.6.0")
    assert done.exit_code == 0, done.output
    assert "Triton changed: 3.6.0 -> 3.7.1" in flat(done)
    assert "1 regressed" in flat(done)
    assert "tensor cores: 64 HMMA -> none" in flat(done)


def test_what_cannot_be_launched_fails_with_any_triton(check: Callable[..., Result]) -> None:
    for edit in (less(LARGE, 90, shared=200_000), compiled(REFUSED, 80)):
        done = check(edit, triton="3.6.0")
        assert done.exit_code == 1, done.output
        assert "Triton changed: 3.6.0 -> 3.7.1" in flat(done)


def test_unsafe_code_fails_whatever_was_accepted(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worse, as accepted, new, by another Triton, or without a record: there is none that it may be."""
    rows = copy.deepcopy(told["entries"])
    good, bad = of(rows, SPILLING, 90), copy.deepcopy(of(rows, SPILLING, 90))
    bad["facts"].update(overwrites=4)
    assert Entry.of(good).facts["overwrites"] == 0
    monkeypatch.setattr(cli_kernels, "_compiled", lambda *_: ([Entry.of(bad)], "3.7.1"))
    renamed = good | {"uses": [use.replace("ptr-", "ptr-1") for use in good["uses"]]}
    path = tmp_path / "accepted.json"
    for before, triton in ((good, "3.7.1"), (bad, "3.7.1"), (renamed, "3.7.1"), (good, "3.6.0")):
        Accepted([Entry.of(before)], triton, "0123456789", "2026-11-01").save(path)
        done = invoke("--arch", "sm_90", "--check", str(path))
        assert done.exit_code == 1, done.output
        assert "1 regressed" in flat(done)
        assert "4 instructions write registers that products in flight still read (triton#9433)" in flat(done)
    done = invoke("--arch", "sm_90")
    assert done.exit_code == 1
    assert "1 may compute wrong numbers, by the code" in flat(done)
    bad["facts"].update(overwrites=0, barrier=False, warps=8)
    assert invoke("--arch", "sm_90").exit_code == 1
    bad["facts"].update(warps=4)
    assert invoke("--arch", "sm_90").exit_code == 0


def test_a_record_of_the_older_schema_is_read(told: dict[str, Any], tmp_path: Path) -> None:
    """It says nothing of wgmma, which is no difference to what says something."""
    entry = Entry.of(of(told["entries"], SPILLING, 90))
    path = tmp_path / "accepted.json"
    Accepted([entry], "3.7.1", "0123456789", "2026-11-01").save(path)
    data = json.loads(path.read_text()) | {"schema": 1}
    for name in ("wait_depth", "operand_a", "overwrites", "barrier"):
        del data["entries"][0]["facts"][name]
    path.write_text(json.dumps(data))
    (old,) = Accepted.load(path).entries
    assert not compare([old], [entry])
    path.write_text(json.dumps(data | {"schema": 2}))
    with pytest.raises(StoreError, match="an entry without barrier, operand_a, overwrites, wait_depth"):
        Accepted.load(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read {}: No such file or directory"),
        ('{"schema": 1, "entries": [', "{} is no whole record of accepted kernels (JSONDecodeError"),
        ("[]", "{} is no whole record"),
        ('{"schema": 1, "triton": "", "commit": "", "when": "", "entries": [{"arch": 90}]}', "{} is no whole record"),
        (
            '{"schema": 1, "triton": "", "commit": "", "when": "", "entries": '
            '[{"arch": 90, "kernel": "conv", "uses": [], "facts": {"stack": 0}}]}',
            "an entry without async_loads, ",
        ),
        ('{"schema": 3}', "{}: schema 3 is newer than this checkout's 2: update it"),
    ],
)
def test_a_record_that_is_none(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "accepted.json"
    if content is not None:
        path.write_text(content)
    done = CliRunner().invoke(app, ["kernels", "--check", str(path)])
    assert done.exit_code == 2
    assert words.format(path) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    if "schema 3" not in words:
        assert f"`bench kernels --accept {path}` writes one" in done.stderr


def test_the_record_of_this_checkout_is_whole() -> None:
    found = Accepted.load(ROOT / "results/kernels/accepted.json")
    assert {entry.arch for entry in found.entries} == {80, 89, 90, 100, 120}
    assert not [entry for entry in found.entries if entry.failed]
    assert compare(found.entries, found.entries) == []


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        Accepted([], "3.7.1", "0123456789", "2026-11-01").save(tmp_path / "file" / "accepted.json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--arch", "sm_70"), "unknown architecture"),
        (("--table", "pyproject.toml"), "--table: pyproject.toml: not a table of configurations: "),
        (("--table", "nowhere.json"), "--table: cannot read nowhere.json: No such file or directory"),
    ],
)
def test_bad_usage(words: tuple[str, ...], said: str) -> None:
    done = bench(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_layers_that_there_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_kernels, "ask", here)
    monkeypatch.setattr(cli_kernels, "CHILDREN", 1)
    done = invoke("-f", "resnet99", "--arch", "sm_80")
    assert done.exit_code == 2, done.stderr
    assert "no layer matches resnet99; one is called resnet50/fp16-n32-" in " ".join(done.stderr.split())


def test_without_triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "triton.py").write_text("raise ModuleNotFoundError('no triton', name='triton')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    done = bench("--arch", "sm_80", "-f", SPILLING)
    assert done.returncode == 3
    assert "this machine cannot compile kernels: no triton; `pip install 'triton>=3.6'`" in done.stderr


def test_what_kills_the_compiler_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The child dies at one of its kernels, whenever it meets it: the others are compiled all the same."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, os\n"
        "if 'bench.worker' in ' '.join(sys.orig_argv):\n"
        "    from kernels.compiled import emit\n"
        "    compiled = emit.compiled\n"
        "    emit.compiled = lambda c, arch: os.abort() if c.constants.get('RELU') is False else compiled(c, arch)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setattr(cli_kernels, "CHILDREN", 1)
    done = invoke("--arch", "sm_80", "-f", "resnet18*/fp16-n32-224x224x3-", "--json")
    assert done.exit_code == 1
    rows = json.loads(done.stdout)["entries"]
    assert sorted("crash: died by signal SIGABRT" in row.get("failed", "") for row in rows) == [False, True]
    (failed,) = [row for row in rows if "failed" in row]
    assert failed["uses"][0].endswith("resnet18v2/fp16-n32-224x224x3-7x7-s2-p3-k64-pool")


# Four layers by four configurations; their group of row tiles tells the planted source below which is which.
PLANTED = {
    "resnet18/fp16-n1-14x14x256-3x3-s1-p1-k256-relu": "ptr-64x64x32-w4-s3-k1-g3",
    "resnet18/fp16-n1-14x14x256-3x3-s1-p1-k256-residual-relu": "ptr-64x64x64-w4-s3-k1-g4",
    "resnet18/fp16-n1-28x28x128-3x3-s1-p1-k128-relu": "ptr-128x64x32-w4-s3-k1-g5",
    "resnet18/fp16-n1-7x7x512-3x3-s1-p1-k512-relu": "ptr-64x64x64-w4-s3-k1-g6",
}
OPTIONS = 'launched = {"num_warps": config.warps, "num_stages": config.stages}'
BOUND = OPTIONS + '\n    launched |= {"maxnreg": 128} if config.group_m == 5 else {}'
WORSE = OPTIONS + '\n    launched |= {3: {"maxnreg": 32}, 4: {"num_stages": 6}}.get(config.group_m, {})'
DOT = "acc = tl.dot(a, tl.trans(b), acc, input_precision=PRECISION)"
PLAIN = (
    "acc = tl.dot(a, tl.trans(b), acc, input_precision=PRECISION) if GROUP_M != 6 else "
    'tl.dot(a.to(tl.float32), tl.trans(b).to(tl.float32), acc, input_precision="ieee")'
)
FOUND = {  # of each layer what the summary says
    "g3": r"spills: none -> \d+ bytes of stack",
    "g4": r"blocks on an SM: \d -> \d \(bytes shared 32,768 -> 81,920\)",
    "g5": r"blocks on an SM: 4 -> 3 \(registers 128 -> \d+\)",
    "g6": r"tensor cores: \d+ HMMA -> none",
}


@pytest.mark.slow
def test_commits_that_make_kernels_worse(tmp_path: Path) -> None:
    """For real: a checkout is accepted; a commit has one spill, take shared memory, registers, leave tensor cores."""
    tree = tmp_path / "tree"
    for name in ("bench", "kernels", "resnet"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))

    def git(*words: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        done = subprocess.run(["git", *identity, *words], cwd=tree, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def edit(path: Path, old: str, new: str) -> None:
        source = path.read_text()
        assert source.count(old) >= 1, old
        path.write_text(source.replace(old, new))

    options, kernel = tree / "kernels" / "launch.py", tree / "kernels" / "conv.py"
    edit(options, OPTIONS, BOUND)
    for last in ("WIDE", "WIDE: tl.constexpr, SERIAL"):
        end = ": tl.constexpr,\n):  # fmt: skip"
        edit(kernel, last + end, f"{last}: tl.constexpr, GROUP_M: tl.constexpr = 8,\n):  # fmt: skip")
    for last in ("WIDE", "WIDE, SERIAL"):
        edit(kernel, f"BLOCK_N, BLOCK_K, PRECISION, {last},\n", f"BLOCK_N, BLOCK_K, PRECISION, {last}, GROUP_M,\n")
    # which start slower than these compile
    edit(tree / "bench/cli/kernels/kernels.py", "CHILDREN = 4", "CHILDREN = 1")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "good")
    good = git("rev-parse", "HEAD")[:10]
    table = tmp_path / "table.json"
    write_table(table, {(use, 80): config for use, config in PLANTED.items()})
    chosen = ("--arch", "sm_80", "--table", str(table), *(word for use in PLANTED for word in ("-f", use)))
    accepted = bench("--accept", "accepted.json", *chosen, folder=tree)
    assert accepted.returncode == 0, accepted.stderr
    assert f"at {good}, in accepted.json" in accepted.stderr
    assert re.search(r"\d HMMA", accepted.stdout)
    assert max(map(len, accepted.stdout.splitlines())) <= 80
    edit(options, BOUND, WORSE)
    edit(kernel, DOT, PLAIN)
    git("commit", "-qam", "worse")
    checked = bench("--check", "accepted.json", *chosen, folder=tree)
    assert checked.returncode == 1, checked.stdout
    said = " ".join(checked.stdout.split())
    assert f"Against {good}" in said
    assert re.search(f"this is {git('rev-parse', 'HEAD')[:10]}: 4 regressed, [01] improved, 0 new, 0 vanished", said)
    for use, config in PLANTED.items():
        named = f"regressed: sm_80 conv {config} for {use} "
        assert re.search(re.escape(named) + FOUND[config[-2:]], said), said
