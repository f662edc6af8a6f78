"""`bench accuracy` through real processes on a tiny folder, its exit codes, and what it refuses to begin."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.records.store import Store
from resnet.data import digits

AXES = ("--model", "resnet18", "--variant", "eager", "--precision", "fp32", "--batch", "4", "--image", "32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of four pictures."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name in "abc":
        (tmp_path / "val" / name).mkdir(parents=True)
        for number in range(4):
            picture = image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
            picture.save(tmp_path / "val" / name / f"{number}.png")
    return tmp_path / "val"


def accuracy(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["accuracy", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_right_answers_are_counted_beside_float32s_and_a_share_is_held(folder: Path, tmp_path: Path) -> None:
    words = (*AXES, "--num-classes", 3, "--input", "noise", "--data", folder, "-o", tmp_path / "out")
    code, table, said = accuracy(*words, "--keep", "0.99")
    assert code == 4, said  # of twelve pictures no loss of 1 % can be told
    assert "resnet18 at 32 pixels, batch 4, 12 pictures" in " ".join(table.split())
    assert "right by chance" in " ".join(table.split())
    (record,) = Store(tmp_path / "out").read()
    assert (record.score["pictures"], record.score["agree"], record.score["labelled"]) == (12, 12, True)
    assert str(tmp_path) not in record.line()
    code, rows, said = accuracy(*words, "--resume", "--csv")
    (row,) = csv.DictReader(rows.splitlines())
    assert (code, row["pictures"], row["lost"], row["keeps"]) == (0, "12", "0", "cannot tell"), said


def test_a_folder_that_does_not_serve_is_refused_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out")
    for words, cure in (
        ((*AXES, "--data", folder.parent), "name the one with the classes"),
        ((*AXES, "--data", folder, "--num-classes", "7"), "it has folders of 3 classes, and resnet18 has 7"),
        ((*AXES, "--data", folder), "it has folders of 3 classes, and resnet18 has 1000"),
        ((*AXES, "--data", tmp_path / "none"), "no folder is there"),
        (("resnet18-digits", "--data", folder), "is scored on digits"),
        ((), "say which cases"),
    ):
        code, _, said = accuracy(*words, *out)
        assert (code, cure in " ".join(said.split())) == (2, True), said
    assert not (tmp_path / "out").exists()


def test_networks_of_digits_are_for_small_pictures_and_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("resnet18-digits-hard", "--variant", "eager", "--precision", "fp32", "--dry-run")
    assert "resnet18-digits-hard/eager/fp32/b1/i32/stream" in accuracy(*words)[1]
    assert "resnet18-digits/eager/fp32/b8/i32/stream" in accuracy("digits", "--dry-run")[1]
    assert (
        "resnet18-digits/eager/fp32/b1/i64/stream"
        in accuracy("resnet18-digits", "--image", "64", "--variant", "eager", "--precision", "fp32", "--dry-run")[1]
    )
    chosen = accuracy("resnet18-digits/library-fused/int8", "--keep-wide", "fc", "--threads", 2, "--dry-run")[1]
    assert "With threads 2, keep-wide fc." in chosen
    assert "resnet18-digits/eager/fp32/b8/i32" in accuracy("precisions", "--model", "resnet18-digits", "--dry-run")[1]
    monkeypatch.setattr(digits, "digits_file", lambda: None)
    code, _, said = accuracy(*words)
    assert code == 3
    assert "pip install scikit-learn" in said
