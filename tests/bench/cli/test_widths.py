"""On terminals of 40 to 120 columns no table is cut, and in a pipe no sentence is broken: every command's output."""

import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.console import print_lines
from bench.cli.tables import Screen
from bench.machine.environment import ROOT
from bench.records.record import Record
from bench.records.store import read_folders
from bench.report.rows import rows_from_records
from bench.report.terminal import ROWS, print_report
from bench.report.views import VIEWS, usual_view
from bench.roofline.layers_text import print_layer_comparison, print_layers
from bench.static.cases_text import facts_lines
from bench.static.count import Facts
from bench.static.kernels import Accepted
from bench.static.kernels_text import kernel_lines
from tests import gpu_records

WIDTHS = (40, 60, 80, 120)
QUICK, PRECISIONS = (ROOT / "results" / name for name in ("cpu-quick", "cpu-precisions"))
# a command that is to be pasted is one line: the terminal breaks it
PASTED = re.compile(
    r"To settle it|The table of all|`?\S*\b(?:python -m )?bench |The cases of a plan"
    r"|  `?\S*(?:python|bin/bench) |.*(: |`)\S*(?:python|bin/bench) "
)
COMMANDS = [
    ["list"], ["list", "quick"], ["report", "results"], ["report", "results/accuracy-digits"],
    ["recommend", str(QUICK)], ["recommend", str(PRECISIONS)], ["recommend", str(QUICK), "--p99-ms", "100"],
    ["floors", "resnet50", "--gpu", "h100", "--batch", "1,8"],
    ["report", str(PRECISIONS), "--view", "deploy"],
]  # fmt: skip


def printed(words: Iterable[str], width: int | None, terminal: bool = True) -> str:
    here = {"NO_COLOR": "1", "TTY_COMPATIBLE": "1" if terminal else "0", "COLUMNS": width and str(width)}
    done = CliRunner().invoke(app, list(words), env=here)
    assert done.exit_code in (0, 4), done.output
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def screen(width: int) -> tuple[Screen, io.StringIO]:
    file = io.StringIO()
    return Screen(file=file, width=width, force_terminal=True, color_system=None), file


def check_fits(text: str, width: int) -> None:
    """Every line has room, but a command and a word that is longer than the line; and nothing is cut."""
    assert "…" not in text
    for line in text.splitlines():
        longest = max(map(len, line.split()), default=0)
        assert len(line.rstrip()) <= max(width, longest + 9) or PASTED.match(line), line


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_table_fits_the_terminal(words: list[str], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = printed(words, width)
    if words[:2] != ["list", "quick"]:  # lines that are for grep
        check_fits(text, width)


@pytest.fixture(scope="module", params=[QUICK, PRECISIONS], ids=lambda folder: folder.name)
def records(request: pytest.FixtureRequest) -> list[Record]:
    return read_folders([request.param])[0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", VIEWS)
def test_every_value_is_there_or_its_column_is_named_as_left_out(records: list[Record], name: str, width: int) -> None:
    def report(room: int) -> str:
        out, file = screen(room)
        print_report(out, records, None, lambda *_: "python -m bench run", name)
        return file.getvalue()

    text, rows = report(width), rows_from_records(records)
    check_fits(text, width)
    view, pieces = VIEWS[name].of(rows), "".join(text.split())
    left = re.search(r"\n\n((?:(?!\n\n)[^:])*?)\s+(is|are)\s+left\s+out:\s+a\s+terminal\s+of\s+(\d+)\s+columns", text)
    gone = left[1].replace("\n", " ").split(", ") if left else []
    assert bool(left) == ("leftout:" in pieces)
    assert len(gone) <= (len(view.titles) + 1) // 3
    assert {"agree", "loss", "right"}.isdisjoint(gone)
    shown = [column for column in view.columns if column.title not in gone and not column.text]
    assert len(shown) > 2
    for column in shown:
        assert column.title in text
        assert all(column.cell(row) in text for row in rows), column.title
    assert not left or "left out: a terminal" not in report(int(left[3]))


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_of_kernels_counts_and_layers_fit(width: int) -> None:
    accepted = Accepted.read(ROOT / "results" / "kernels" / "accepted.json")
    counts = Facts.read(ROOT / "results" / "static" / "counts.json")
    layers = [gpu_records.layers(case) for case in gpu_records.cases(2)]
    compared = {
        "compared": [{**row, "against_us": 1.0, "sure": True} for row in layers[0]["rows"]],
        "against": layers[1],
    }
    prints: list[Callable[[Console], None]] = [
        lambda out: print_lines(kernel_lines(accepted, 1.0, True), out),
        lambda out: print_lines(facts_lines(counts, (), None, 1.0), out),
        lambda out: print_layers(out, layers[0]),
        lambda out: print_layer_comparison(out, layers[0] | compared),
    ]
    for show in prints:
        out, file = screen(width)
        show(out)
        lines = file.getvalue().splitlines()
        assert "…" not in file.getvalue()
        assert len(lines) > 20
        for line in lines:
            if not re.search(r"[.:;]$|^[a-z ]+: |, ", line):  # of a table
                assert len(line.rstrip()) <= max(width, len(max(line.split(), key=len, default="")) + 9), line


@pytest.mark.parametrize("words", [COMMANDS[0], COMMANDS[4], COMMANDS[-1], ["report", str(QUICK)]], ids=" ".join)
def test_a_sentence_in_a_pipe_is_one_line(words: list[str]) -> None:
    narrow, free = printed(words, 40, terminal=False), printed(words, None, terminal=False)
    sentences = [line for line in free.splitlines() if len(line) > 100 and not line.startswith(" ")]
    assert sentences or words == ["list"]
    assert set(sentences) <= set(narrow.splitlines())


def test_the_answer_is_last_and_marked_in_the_table_without_colour(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(["report", str(PRECISIONS)], 80, terminal=False).splitlines()
    assert lines[-1].startswith("To settle it: ")
    assert lines[-2].startswith("resnet18-digits-hard at 32 pixels, batch 8, in int8: openvino/int8 is fastest, ")
    marked = [line.split()[1:3] for line in lines if line.startswith("★")]
    assert marked[:3] == [["openvino", "bf16"], ["openvino", "bf16"], ["openvino", "int8"]]
    assert any(line.startswith("★: fastest of its model, batch and launch; ") for line in lines)
    quick = printed(["report", str(QUICK)], 80, terminal=False).splitlines()
    assert [line.split()[:3] for line in quick if line.startswith("≈ ")] == [
        ["≈", "compile-max", "bf16"],
        ["≈", "library-fused", "bf16"],
    ]
    # at batch 8 it is not known
    open_rows = [line.split()[1:4] for line in quick if line.startswith("? ")]
    assert open_rows == [["compile-max", "bf16", "8"], ["library-fused", "bf16", "8"]]
    assert not any(line.startswith("★") for line in quick)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "355"
    gpu_records.write_sweep(folder, 355)
    return folder


def test_the_answer_of_many_cases_is_one_screen_on_a_terminal(many: Path) -> None:
    text = printed(["report", str(many)], 80)
    lines = text.splitlines()
    assert len(lines) < 60
    first = next(k for k, line in enumerate(lines) if line.startswith("Of 24 contests of 3 models, "))
    assert len(lines) - first <= 5
    assert sum(line.startswith(("≈ resnet", "★ resnet", "? resnet")) for line in lines) == 24
    assert lines[0].startswith("The table of all 339 cases: ")
    assert lines[0].endswith(" --all")
    check_fits(text, 80)
    for whole in (printed(["report", str(many), "--all"], 80), printed(["report", str(many)], None, terminal=False)):
        assert len(whole.splitlines()) > 339
        assert "The table of all" not in whole
        last = whole[whole.index("Of 24 contests") :]
        assert len(last.splitlines()) <= 5


def test_of_more_contests_than_a_screen_has_there_is_a_row_a_model() -> None:
    def made(model: str, batch: int, variant: str, ms: float) -> Record:
        line = gpu_records.golden() | {"case": f"{model}/{variant}/fp32/b{batch}/i224/stream"}
        one = Record.from_json(line | {"throughput": {"images": 1000 * batch, "ns": int(1e9 * ms)}, "windows": []})
        return one

    records = [
        made(model, batch, variant, batch * ms)
        for model, ms in (("resnet18", 1.0), ("resnet50", 3.0))
        for batch in range(1, 21)
        for variant in ("eager", "compile")
    ]
    out, file = screen(100)
    print_report(out, records, Path("here"), lambda cases, rounds, like: "settle", every="all of them")
    lines = file.getvalue().splitlines()
    assert len(rows_from_records(records)) > ROWS
    assert usual_view(rows_from_records(records)) == "speed"
    rows = [line for line in lines if re.match(r"\? resnet(18|50) ", line)]
    assert len(rows) == 2
    assert lines[-1] == "Records: here"
    assert "Of 40 contests of 2 models" in " ".join(lines)
    assert "none is decided; which is fastest cannot be told in 40." in " ".join(" ".join(lines).split())
