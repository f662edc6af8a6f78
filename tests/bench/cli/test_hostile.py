"""Fields, file names and plans full of what acts on a terminal or in Markdown: it is shown, whatever prints it."""

import copy
import csv
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.report.views import VIEWS
from bench.text import UNSEEN, digits, markdown_cell, markdown_table, visible
from tests.soak.fuzz_readers import ALLOWED, GOLDEN

ESCAPE = "\x1b]0;title\x07\x1b[2J\x9b1m\u202e\u200b\r\x08\x7f"
MARKDOWN = "a|b\n# c\n<img src=x>"
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]")
FORMS: list[list[str]] = [[], ["--json"], ["--csv"], ["--markdown"]]


def hostile(value: Any, key: str = "") -> Any:
    """The parsed JSON of a record with such text in every field that takes any."""
    if isinstance(value, dict):
        return {name: hostile(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, key) for inner in value]
    fixed = ("case", "status", "started", "gpu_how", "sha", "rule")
    return f"{value}{ESCAPE}{MARKDOWN}" if isinstance(value, str) and key not in fixed else value


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    made = []
    lines = [json.loads(line) for line in GOLDEN[-1].read_text().splitlines()]
    lines += [lines[0] | {"case": "mine:net\x1b[2J/eager/fp32/b1/i64/stream", "round": 5}]
    lines += [lines[0] | {"case": "resnet50/eager/fp32/b1/i64/stream", "status": "error", "reason": "a\x1b[31m\nb|<b>"}]
    for name in ("base", f"he{ESCAPE}ad"):
        folder = tmp_path_factory.mktemp("results") / name.replace("\0", "")
        folder.mkdir()
        text = "".join(json.dumps(hostile(copy.deepcopy(line))) + "\n" for line in lines)
        (folder / "records.jsonl").write_text(text + '{"schema": "\x1b[31m"}\n' + '{"\x1b[1m\n')
        made.append(folder)
    return made[0], made[1]


def printed(*words: object) -> str:
    """What a command prints, on both streams; nothing of it acts, and it ends as commands do."""
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)
    text = (result.stdout_bytes + result.stderr_bytes).decode()
    assert not ACTS.findall(text), (words, ascii(ACTS.search(text)))
    return text


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form[0] if form else "terminal")
def test_no_command_sends_it(folders: tuple[Path, Path], form: list[str]) -> None:
    base, head = folders
    assert "x1b" in printed("report", head, *form) or form == ["--csv"]
    printed("compare", base, head, "--all", *ALLOWED, *form)
    printed("history", head.parent, "--all", *form)
    printed("recommend", head, *form)
    printed("report", head.parent, *form)  # the list of runs


CHARACTERS = (
    "\0\a\b\t\n\v\r\x1b\x7f\x85\x9b\xad\u061c\u200b\u202e\u2028\u2066\ufeff\ufffb\U000e0041[]/\\|`<&;=1mKJ\xe9\u6f22"
)


def spoilt(value: Any, draw: random.Random, share: float) -> Any:
    """The parsed JSON of a record with drawn text in a share of all fields of text, those that readers look up too."""
    if isinstance(value, dict):
        return {name: inner if name == "case" else spoilt(inner, draw, share) for name, inner in value.items()}
    if isinstance(value, list):
        return [spoilt(inner, draw, share) for inner in value]
    hit = isinstance(value, str) and draw.random() < share
    return f"{value}{''.join(draw.choices(CHARACTERS, k=draw.randint(1, 9)))}" if hit else value


@pytest.mark.parametrize("seed", range(5))
def test_whatever_fields_hold_is_shown(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every view, also where a record cannot be read for it, on stdout and stderr, on a terminal and in a pipe."""
    draw = random.Random(seed)
    lines = [json.loads(line) for line in GOLDEN[-1].read_text().splitlines()]
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", draw.choice(["40", "80"]))
    monkeypatch.setenv("TTY_COMPATIBLE", draw.choice("01"))
    name = "".join(draw.choices(CHARACTERS.replace("\0", "").replace("/", ""), k=5))
    (folder := tmp_path / "store" / f"a{name}").mkdir(parents=True)
    for share in (0.02, 0.2, 1.0):
        text = "\n".join(json.dumps(spoilt(line, draw, share)) for line in lines)
        (folder / "records.jsonl").write_text(f"{text}\n")
        views = VIEWS if share == 0.02 else [draw.choice(list(VIEWS))]
        shown = [printed("report", folder, "--view", view) for view in views]
        shown += [printed("report", folder, "-f", "".join(draw.choices(CHARACTERS, k=4)))]
        shown += [printed("recommend", folder), printed("recommend", folder, "--p99-ms", "9")]
        shown += [printed("history", folder.parent, "--all"), printed("report", folder.parent)]
        shown += [printed("compare", folder, folder, "--all", *ALLOWED), printed("report", folder / name.strip())]
        assert not UNSEEN.search("".join(shown))


def test_no_other_form_sends_it(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, head = folders
    for view in ("cold", "memory", "accuracy"):
        printed("report", head, "--view", view)
    for name in ("csv", "pytest-benchmark", "bencher", "github-action-benchmark"):
        text = printed("export", head, "--format", name)
        (tmp_path / name).write_text(text[: text.rindex("]") + 1] if name != "csv" else text)
    printed("compare", base, head)  # refused, or compared with the names of what differs
    printed("report", base.parent / "none\x1b[2J")
    printed("import", base / "none\x1b[2J", "-o", tmp_path / "out")


def test_imports_and_plans_are_shown(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps({"benchmarks": [{"fullname": f"a{ESCAPE}"}, {"fullname": ESCAPE}]}))
    assert "\\x1b" in printed("import", tmp_path / "in.json", "-o", tmp_path / "out")
    plan = tmp_path / "p\x1b[1m.toml"
    axes = 'model = "resnet18"\nvariant = "eager"\nprecision = "fp32"\nbatch = 1\n'
    plan.write_text(f'why = "a\\u001b[2Jb"\n[[group]]\nwhy = "c\\u001b[2J"\n{axes}')
    assert "a\\x1b[2Jb" in printed("list", plan)
    for line in ('variant = "\\u001b[2J"', '"\\u001b[2J" = 1', "\x1b = 1", 'model = "a:b\\u001b[2J"'):
        plan.write_text(f'[[group]]\nwhy = "c"\n{axes.replace(line.split(" = ")[0], "image")}\n{line}\n')
        printed("list", plan)
    printed("list", "resnet18\x1b[2J/eager")


def test_a_markdown_table_keeps_its_rows_and_cells(folders: tuple[Path, Path]) -> None:
    lines = printed("report", folders[1], "--markdown").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert not [line for line in lines if "<img" in line or line.startswith("# ")]


def test_csv_has_one_row_a_line(folders: tuple[Path, Path]) -> None:
    text = CliRunner().invoke(app, ["report", str(folders[1]), "--csv"]).stdout
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == len(text.splitlines())
    assert len({len(row) for row in rows}) == 1


def test_text_is_made_visible() -> None:
    assert visible("a\tb\nc ± é \U0001f600") == "a\tb\nc ± é \U0001f600"
    assert visible("\x1b[31m\u202e\u200b\x9b\r\ud800") == "\\x1b[31m\\u202e\\u200b\\x9b\\r\\ud800"
    assert not UNSEEN.search(visible("".join(map(chr, range(0x3000)))))
    assert markdown_cell("a|b\\|c\\\\|d<e\nf") == "a\\|b\\|c\\\\\\|d&lt;e f"
    assert markdown_cell(markdown_cell("a|b<c")) == markdown_cell("a|b<c")
    assert markdown_table(["x"], [["1|2\n3"]])[-1] == "| 1\\|2 3 |"


def test_digits_have_room() -> None:
    texts = {0: "0.0000", 1234.5: "1,234", 1e300: "1.000e+300", 1e-9: "1.000e-09", 0.5: "0.5000"}
    assert {value: digits(value) for value in texts} == texts
