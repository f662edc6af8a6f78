"""A variant is a row and a file: every command takes a new one without another edit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CASE = "resnet18/planted-twice/fp32/b1/i32/stream"
# Puts the row into the table of every process that starts, and the module where its name says.
PLANT = """
import importlib.machinery, importlib.util, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "resnet.variants.planted_twice":
            return importlib.util.spec_from_file_location(name, {module!r})
        if name != "resnet.variants":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def planted(module):
            load(module)
            module.VARIANTS["planted-twice"] = module.Variant(
                "planted-twice", "a test: plain torch", serves={{"cpu": ("fp32",), "cuda": ("fp32",)}}
            )
        spec.loader.exec_module = planted
        return spec

sys.meta_path.insert(0, Finder)
"""
MODULE = """
from resnet.variants.eager import prepare
"""


@pytest.fixture
def bench(tmp_path: Path):
    module = tmp_path / "module.py"
    module.write_text(MODULE)
    (tmp_path / "sitecustomize.py").write_text(PLANT.format(module=str(module)))

    def run(*words: object) -> "subprocess.CompletedProcess[str]":
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        command = [sys.executable, "-m", "bench", *map(str, words)]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.mark.slow
def test_a_variant_is_a_row_and_a_file(bench, tmp_path: Path) -> None:
    plan, folder, page = tmp_path / "plan.toml", tmp_path / "records", tmp_path / "page.html"
    plan.write_text(
        'why = "A test."\nrounds = 1\n[measure]\nwarmup_s = 0.0\nlatency_s = 0.0\nsamples = 7\nthroughput_s = 0.01\n'
        'steal = 1.0\n[[group]]\nwhy = "A new variant beside plain torch."\nmodel = "resnet18"\n'
        'variant = ["eager", "planted-twice"]\nprecision = "fp32"\nbatch = 1\nimage = 32\n'
    )
    listed = bench("list", plan, "--json")
    assert CASE in listed.stdout, listed.stderr
    done = bench("run", plan, "-o", folder, "--input", "noise")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert {record["case"]: record["status"] for record in records}[CASE] == "ok"
    for words in (
        ("report", folder, "--html", page),
        ("recommend", folder),
        ("layers", CASE, "--input", "noise"),
        ("counts", plan),
    ):
        done = bench(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        assert "planted-twice" in done.stdout + (page.read_text() if "--html" in words else ""), words
