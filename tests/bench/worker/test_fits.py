"""Whether a batch fits: how it is placed, and probes and whole searches through real processes."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.plans.case import MAX, Case
from bench.plans.plan import Settings
from bench.runs import largest
from bench.runs.job import PICTURES, CaseJob, reference_job
from bench.runs.largest import START, fit_job, search_largest
from bench.runs.process import Answer, ask, request
from bench.worker.fits import place_repeated
from resnet.inputs import pictures
from resnet.variants import VARIANTS, missing

CASE = Case.parse("resnet18/eager/fp32/bmax/i32/stream")
MIB = 1 << 20


class FakeRunner:
    details: dict[str, Any]

    def __init__(self, place: Callable[[Tensor], Tensor]) -> None:
        self.placed = list[Tensor]()
        self._place = place

    def place(self, batch: Tensor) -> Tensor:
        self.placed.append(batch)
        return self._place(batch)

    def __call__(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("batch", [1, 5, 7, 8, 30])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_pictures_are_written_where_the_variant_placed_the_batch(
    batch: int, memory_format: torch.memory_format
) -> None:
    few = pictures(PICTURES, 32, source="noise")
    run = FakeRunner(lambda x: x.to(torch.bfloat16, copy=True, memory_format=memory_format))
    x = place_repeated(run, few, batch)
    assert x.is_contiguous(memory_format=memory_format)
    assert torch.equal(x, few.to(torch.bfloat16)[torch.arange(batch) % PICTURES])
    (given_,) = run.placed
    assert given_.untyped_storage().nbytes() == few.untyped_storage().nbytes()  # no float32 batch beside it


@pytest.mark.parametrize(
    "place", [lambda x: torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 1)), lambda x: (x * 10).to(torch.int8)]
)
def test_a_batch_in_a_form_of_the_variants_own_is_placed_whole(place: Callable[[Tensor], Tensor]) -> None:
    few = pictures(PICTURES, 32, source="noise")
    assert torch.equal(place_repeated(FakeRunner(place), few, 10), place(few[torch.arange(10) % PICTURES]))


@pytest.fixture(scope="module")
def reference() -> Iterator[Callable[[Case], dict[str, str]]]:
    """Makes the references of a case on this CPU, through a real process; once for all tests of the same case."""
    kept: dict[Case, dict[str, str]] = {}

    def make(case: Case) -> dict[str, str]:
        if case not in kept:
            made = request(reference_job([case], Settings(), "cpu", 0, "noise"), 600)
            assert made.status == "ok", made.reason
            kept[case] = made.data["paths"]
        return kept[case]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield make


def probe(case: Case, batch: int, paths: dict[str, str], module: str = "bench.worker", gib: float = 0.0) -> Answer:
    job = fit_job(CaseJob(case, Settings(host_memory_gib=gib), "cpu", 0, "noise", paths), batch)
    return request(job, 300, module=module)


@pytest.mark.parametrize(
    ("cheat", "said"),
    [
        ("honest", ""),
        ("padded", ""),
        ("short", "first run: .*times that of plain torch"),
        ("wraps", "first run: .*times that of plain torch"),
        ("once", "second run: 100.00% of the answer is NaN"),
    ],
)
def test_every_row_of_both_answers_is_judged(
    reference: Callable[[Case], dict[str, str]], monkeypatch: pytest.MonkeyPatch, cheat: str, said: str
) -> None:
    monkeypatch.setenv("CHEAT", cheat)
    found = probe(CASE, 21, reference(CASE), "tests.cheats.fit")
    assert found.status == ("wrong" if said else "ok"), found.reason
    if said:
        assert re.match(said, found.reason), found.reason
    else:
        assert set(found.data["gate"]) == {"first", "second"}
        assert found.data["gate"]["second"]["pictures"] == 21


@pytest.mark.slow
def test_what_bounds_a_batch_is_told_with_its_status(
    reference: Callable[[Case], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error here; wrong answers at a batch are the test above, and a search over them is played elsewhere."""
    monkeypatch.setenv("CHEAT", "breaks")
    child = partial(ask, module="tests.cheats.fit")
    found = search_largest(child, CaseJob(CASE, Settings(), "cpu", 0, "noise", reference(CASE)))
    assert found.status == "ok"
    assert found.data["largest"]["fits"] == 12
    assert found.data["largest"]["fails"] == 13
    assert found.data["largest"]["reason"].startswith("error: in run: ")


def variants_here() -> list[tuple[str, str]]:
    """Each in one precision: what differs between them is who allocates. compile-max stands for all of Inductor's."""
    rows = [row for row in VARIANTS.values() if not missing(row, "cpu") and row.name not in ("compile", "compile-aot")]
    return [(row.name, row.serves["cpu"][0]) for row in rows if row.serves.get("cpu")]


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "precision"), variants_here())
def test_every_variant_takes_a_batch_in_the_memory_of_one_picture(
    reference: Callable[[Case], dict[str, str]], variant: str, precision: str
) -> None:
    case = Case("resnet18", variant, precision, MAX, 32, "stream")
    found = probe(case, 9, reference(case))
    assert found.status == "ok", found.reason
    assert found.data["memory"]["weights"] > 0


@pytest.fixture(scope="module")
def unused() -> int:
    """Bytes that a limit counts and no memory holds once torch is imported: 270 MB in a CUDA build, 0 in a CPU one."""
    code = "import torch; print(open('/proc/self/status').read())"
    status = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    kib = {name: int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) for name in ("VmData", "VmRSS")}  # type: ignore[index]
    return max(0, kib["VmData"] - kib["VmRSS"]) * 2**10


@pytest.mark.slow
def test_the_largest_batch_in_a_small_memory(
    reference: Callable[[Case], dict[str, str]], unused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded by real allocations that fail, and again so a little beside it; to a quarter, as a probe is a child."""
    monkeypatch.setattr(largest, "RESOLUTION", 4)
    case = Case("resnet18", "library-fused", "fp32", MAX, 192, "stream")
    paths = reference(case)
    small = probe(case, START["cpu"], paths)
    assert small.status == "ok", small.reason
    # what a small batch needs here, with this build of torch, and a little
    gib = (small.data["memory"]["host_resident_peak"] + unused + 40 * MIB) / 2**30
    found = search_largest(ask, CaseJob(case, Settings(host_memory_gib=gib), "cpu", 0, "noise", paths))
    assert found.status == "ok", found.reason
    assert found.data["memory"]["host_limit"] == int(gib * 2**30)
    search = found.data["largest"]
    assert START["cpu"] < search["fits"] < search["fails"]
    assert search["reason"].startswith("memory: "), search
    assert search["fails"] - search["fits"] <= max(1, search["fits"] // largest.RESOLUTION)
    assert probe(case, int(search["fits"] * 0.9), paths, gib=gib).status == "ok"
    assert probe(case, int(search["fails"] * 1.1) + 1, paths, gib=gib).status == "memory"


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["eager", "channels-last-amp", "library-fused", "onnxruntime"])
def test_too_large_a_batch_fails_for_want_of_memory_in_every_library(
    reference: Callable[[Case], dict[str, str]], unused: int, variant: str
) -> None:
    """And not by a crash, or by the kernel's hand."""
    if cure := missing(VARIANTS[variant], "cpu"):
        pytest.skip(cure)
    precision = VARIANTS[variant].serves["cpu"][0]
    case = Case("resnet18", variant, precision, MAX, 128, "stream")
    found = probe(case, 1000, reference(case), gib=1.0 + unused / 2**30)
    assert found.status == "memory", found.reason
    assert "killed" not in found.reason


def test_nothing_fits_in_too_little(reference: Callable[[Case], dict[str, str]]) -> None:
    """The limit may be less than the process already has; that, too, is told as a want of memory."""
    assert probe(CASE, 1, reference(CASE), gib=0.1).status == "memory"
