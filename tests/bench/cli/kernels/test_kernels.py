"""`bench kernels`: really compiled kernels, good and bad ones, held against records that were planted."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.commands import command_line
from bench.static.kernels import Accepted, Entry
from tests.bench.cli.kernels.planted import (
    BAD,
    EXACT,
    LARGE,
    REFUSED,
    SPILLING,
    Rows,
    bench,
    compiled,
    flat,
    invoke,
    less,
    of,
)

pytest.importorskip("triton")


def test_what_is_emitted(compiled_rows: Rows) -> None:
    rows = compiled_rows
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
    def worse(rows: Rows) -> None:
        of(rows, SPILLING, 90)["facts"].update(stack=64, spill_stores=9, tensor={"HMMA": 64})

    done = check(worse)
    assert done.exit_code == 0, done.output
    assert "0 regressed, 1 improved" in flat(done)
    assert "spills: 64 bytes of stack, 9 stores -> none" in flat(done)
    assert "tensor cores: 64 HMMA -> " in flat(done)


def test_another_choice_is_new_and_must_not_be_bad(check: Callable[..., Result]) -> None:
    """The same layers by other configurations: a bad one fails, as does one off the tensor cores."""

    def others(rows: Rows) -> None:
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
    def more(rows: Rows) -> None:
        rows.append(of(rows, SPILLING, 90) | {"uses": ["ptr-1x1x1-w4-s1-k1-g8/resnet18/fp16-n1-gone"]})
        rows.append(of(rows, SPILLING, 90) | {"arch": 100, "uses": ["ptr-1x1x1-w4-s1-k1-g8/resnet18/elsewhere"]})

    done = check(more)
    assert done.exit_code == 0, done.output
    assert "1 vanished" in flat(done)
    assert "resnet18/fp16-n1-gone no longer compiled" in flat(done)
    assert "elsewhere" not in flat(done)
    assert "0 vanished" in flat(check(more, "-f", "*7x7*"))


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
    compiled_rows: Rows, tmp_path: Path, compiling: Callable[[Rows], None]
) -> None:
    """Worse, as accepted, new, by another Triton, or without a record: there is none that it may be."""
    rows = copy.deepcopy(compiled_rows)
    good, bad = of(rows, SPILLING, 90), copy.deepcopy(of(rows, SPILLING, 90))
    bad["facts"].update(overwrites=4)
    assert Entry.from_json(good).facts.overwrites == 0
    compiling([bad])
    renamed = good | {"uses": [use.replace("ptr-", "ptr-1") for use in good["uses"]]}
    path = tmp_path / "accepted.json"
    for before, triton in ((good, "3.7.1"), (bad, "3.7.1"), (renamed, "3.7.1"), (good, "3.6.0")):
        Accepted([Entry.from_json(before)], triton, "0123456789", "2026-11-01").save(path)
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read {}: No such file or directory"),
        ('{"schema": 1, "triton": "", "entries": [', "{} is no whole record of accepted kernels (JSONDecodeError"),
        ("[]", "{} is no whole record"),
        ('{"schema": 1, "triton": "", "commit": "", "when": "", "entries": [{"arch": 90}]}', "{} is no whole record"),
        (
            '{"schema": 1, "triton": "", "commit": "", "when": "", "entries": '
            '[{"arch": 90, "kernel": "conv", "uses": [], "facts": {"stack": 0}}]}',
            "an object with async_loads and bulk_loads and ",
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
        assert f"`{command_line('kernels', '--accept', path)}` writes one" in done.stderr


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


def test_layers_that_there_are_not(in_this_process: None) -> None:
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
