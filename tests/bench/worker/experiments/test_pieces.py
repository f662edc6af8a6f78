"""`bench pieces` in a dry run: every piece's code is walked, its kernel interpreted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
import torch
import triton
from typer.testing import CliRunner

from bench.cli import app
from bench.experiments.lists import PIECES
from bench.machine.environment import environment, no_cuda

NO_GPU = no_cuda(environment()) is not None
OLD = tuple(map(int, triton.__version__.split(".")[:2])) <= (3, 6)
INTERPRETS = not (OLD and tuple(map(int, numpy.__version__.split(".")[:2])) >= (2, 4))


def bench(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["pieces", *words])
    return done.exit_code, done.output


@pytest.mark.slow
def test_a_dry_run_walks_every_piece(tmp_path: Path) -> None:
    file = tmp_path / "pieces.json"
    code, said = bench("--dry", "-o", str(file))
    found = json.loads(file.read_text())
    statuses = {one["name"]: one["status"] for one in found["pieces"]}
    reasons = {one["name"]: one["reason"] for one in found["pieces"]}
    needs_gpu = {"pdl-chain", "pdl-graph", "graph", "conv1x1-bf16", "conv3x3-bf16"}
    walked = "ok" if INTERPRETS else "skipped"
    assert statuses == {piece.name: "skipped" if piece.name in needs_gpu else walked for piece in PIECES}, reasons
    if INTERPRETS:
        assert reasons["pdl-chain"] == "in order the chain is right; an overlap of launches needs a GPU"
    else:
        assert "interprets with numpy up to 2.3" in reasons["conv3x3"]
    assert reasons["graph"] == "without a graph the work is right; a CUDA graph needs a GPU"
    assert code == 0
    assert [line.split()[:2] for line in said.splitlines()[:2]] == [["skipped", "pdl-chain"], ["skipped", "pdl-graph"]]
    assert (found["schema"], set(found)) == (1, {"schema", "pieces", "gpu", "provenance"})
    assert set(found["pieces"][0]) == {"name", "kind", "precision", "status", "reason", "seconds"}


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_without_a_card_it_says_so(tmp_path: Path) -> None:
    code, said = bench("-o", str(tmp_path / "pieces.json"))
    assert code == 3
    assert not list(tmp_path.iterdir())
    assert "no CUDA device" in said
    assert "--dry" in said


def test_an_unknown_piece_is_refused() -> None:
    code, said = bench("pdl-chian", "--dry")
    assert code == 2
    assert "pdl-chian" in said


def test_the_pieces_named_run_in_the_order_of_the_list(tmp_path: Path) -> None:
    code, said = bench("pdl-graph", "pdl-chain", "--dry", "-o", str(tmp_path / "pieces.json"))
    assert code == 0, said
    assert [line.split()[1] for line in said.splitlines()[:-1]] == ["pdl-chain", "pdl-graph"]


@pytest.mark.gpu
def test_every_piece_on_this_card(tmp_path: Path) -> None:
    code, said = bench("-o", str(tmp_path / "pieces.json"))
    assert code == 0, said
    if torch.cuda.get_device_capability() >= (9, 0):
        assert "skipped" not in said
