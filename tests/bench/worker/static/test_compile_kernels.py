"""The queue that children take kernels from: each is compiled once, and a child takes up what a dead one had."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

pytest.importorskip("triton")

from bench.runs.kernel_jobs import KernelsAnswer, KernelsJob
from bench.worker.static import compile_kernels
from bench.worker.static.compile_kernels import Planned, compile_claimed

LAYERS = ["aa", "ab", "bc", "d", "e", "fa", "g", "ha"]  # a letter is a kernel


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kernels that are letters; the result has those that were compiled, with the child's number."""
    compiled: list[str] = []

    def planned(layer: str, arch: int, use: str) -> list[Planned]:
        return [Planned(arch, "conv", f"no kernel {letter}", letter) for letter in layer]

    monkeypatch.setattr(compile_kernels, "layers_of", lambda *_: map(Named, LAYERS))
    monkeypatch.setattr(compile_kernels, "_planned", lambda layer, arch, use: planned(layer.key, arch, use))
    monkeypatch.setattr(
        compile_kernels, "_compiled", lambda one, broken: compiled.append(one.use) or {"failed": one.use}
    )
    return compiled


class Named(str):
    @property
    def key(self) -> str:
        return str(self)


def job(queue: Path, number: int) -> KernelsJob:
    return KernelsJob({"80": [("resnet18", 1, "fp16")]}, [], [], str(queue), number)


def test_children_share_the_layers_and_compile_each_kernel_once(letters: list[str], tmp_path: Path) -> None:
    turns, answers = threading.Barrier(2, timeout=20), dict[int, KernelsAnswer]()

    def child(number: int) -> None:
        def notify(text: str) -> None:
            if not letters:  # both have a first kernel before either goes on
                turns.wait()

        answers[number] = compile_claimed(job(tmp_path, number), notify)

    threads = [threading.Thread(target=child, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(letters) == sorted(set("".join(LAYERS)))
    assert sorted(int(place) for answer in answers.values() for place in answer["layers"]) == list(range(len(LAYERS)))
    assert all(answer["outcomes"] for answer in answers.values())


def test_a_child_in_the_place_of_a_dead_one_has_its_claims_and_no_other(letters: list[str], tmp_path: Path) -> None:
    class Died(Exception):
        pass

    def die_at(letter: str, text: str) -> None:
        if text.endswith(f" {letter}"):
            raise Died

    with pytest.raises(Died):
        compile_claimed(job(tmp_path, 0), lambda text: die_at("d", text))
    assert letters == ["a", "b", "c"]
    other = compile_claimed(job(tmp_path, 1), lambda text: None)
    assert sorted(other["outcomes"][key]["failed"] for key in other["outcomes"]) == ["e", "f", "g", "h"]
    again = compile_claimed(job(tmp_path, 0), lambda text: None)
    assert [outcome["failed"] for outcome in again["outcomes"].values()] == ["a", "b", "c", "d"]
    assert [*again["layers"]] == ["0", "1", "2", "3"]
