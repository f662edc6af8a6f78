"""A file of records for every schema version: what was written once is read for ever.

`golden/schemaN.jsonl` is what version N wrote, and never changes once that version is published. Whoever raises SCHEMA
puts the new fields into NEWEST and writes the new version's file: `PYTHONPATH=. python
tests/bench/records/test_golden.py`.
"""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from bench.plans.case import Case
from bench.records.columns import COLUMNS
from bench.records.frame import load
from bench.records.record import SCHEMA, STATUSES, UPGRADES, Record

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = range(1, SCHEMA + 1)

# fields that a version brought
BROUGHT = {
    2: {
        "flushed_ns",
        "flushed_gpu_ns",
        "flushed_stop",
        "throttled",
        "watch",
        "energy",
        "largest",
        "runtime",
        "attempts",
    },
    3: {"gpu_how", "gpu_stop", "flushed_gpu_stop"},
}

CHECK = {"rms": 3.5e-3, "max": 0.0211, "rms_multiple": 1.25, "max_multiple": 1.5, "top1": 1.0, "top1_plain": 1.0}
ENVIRONMENT: dict[str, Any] = {
    "cpu": {
        "name": "AMD EPYC 9654 96-Core Processor",
        "cores": 16,
        "quota": 16.0,
        "flags": ["avx2", "avx512f"],
        "governor": "unreadable: FileNotFoundError: [Errno 2] No such file or directory: '/sys/…/scaling_governor'",
        "cache_bytes": 402653184,
        "smt": True,
        "numa_nodes": 1,
    },
    "memory_bytes": 137438953472,
    "system": "Linux 6.8.0 x86_64",
    "libc": "glibc 2.39",
    "virtual": False,
    "python": "CPython 3.12.3",
    "gpu": {
        "name": "NVIDIA H100 80GB HBM3",
        "capability": [9, 0],
        "driver": "580.95.05",
        "cuda_driver": 13000,
        "memory_bytes": 85520809984,
        "power_limit_w": 700.0,
        "clock_max_mhz": 1980,
        "clock_memory_max_mhz": 2619,
        "clock_mhz": 1980,
        "temperature_c": 31,
        "ecc": True,
        "mig": False,
        "vbios": "96.00.A5.00.01",
        "pcie": "generation 5, 16 lanes",
        "persistence": True,
        "processes": 0,
    },
    "packages": {"torch": "2.13.0", "triton": "3.7.1", "onnxruntime-gpu": "1.31.1", "numpy": "2.4.6"},
    "torch_cuda": "13.0",
    "git": {"sha": "b399835803dcc68fb7a125df5ea4746ef0f7af56", "dirty": False},
    "variables": {"OMP_NUM_THREADS": "8", "TORCHINDUCTOR_CACHE_DIR": "set"},
}
ALIKE: dict[str, Any] = {
    "device": "cuda",
    "seed": 7,
    "settings": {"warmup_s": 1.0, "latency_s": 2.0, "samples": 30, "noise": 0.01, "steal": 0.01, "limit_s": 600.0},
    "plan": {"name": "headline", "digest": "e594b9bc0b0297d5"},
    "environment": ENVIRONMENT,
}
LARGEST = {
    "fits": 3072,
    "fails": 3120,
    "reason": "memory: OutOfMemoryError: CUDA out of memory",
    "tried": [[3072, "ok", 80000000000, 30.5], [3120, "memory", None, 28.25]],
}
WATCH = {"readings": 42, "period_s": 0.1, "sm_mhz": [1200, 1980.0, 1980], "power_w": [310.5, 655.25, 699.9]}
# what the newest version writes: every field filled in the first, two ways of failing, and a search for what fits
NEWEST = [
    Record(
        Case("resnet50", "compile-max", "fp16", 8, 224, "graph"),
        2,
        "ok",
        reason="",
        order=17,
        started="2026-11-24T08:15:30+00:00",
        wall_s=61.5,
        latency_ns=[1010, 1000, 1030, 9000, 9100, 1020, 1040, 9200, 1050, 1060],
        gpu_ns=[910, 900, 930, 8900, 940, 920],
        gpu_how="held",
        flushed_ns=[1310, 1300, 5000, 1330, 1320, 1340, 1350],
        flushed_gpu_ns=[4900, 1210, 1200, 1230, 1220],
        latency_stop={"rule": "noise", "asked": 0.01, "reached": 0.0075},
        gpu_stop={"rule": "noise", "asked": 0.01, "reached": 0.005, "late": 2},
        flushed_gpu_stop={"rule": "time", "asked": 0.01, "reached": 0.015, "late": 0},
        flushed_stop={"rule": "time", "asked": 0.01, "reached": 0.02, "flush_bytes": 104857600},
        throughput={"images": 8000, "ns": 1250000000},
        throttled={
            "latency": [[3, 4], [7, 7]],
            "gpu": [[3, 3]],
            "flushed": [[2, 2]],
            "flushed_gpu": [[0, 0]],
            "throughput_s": 0.125,
        },
        watch=WATCH | {"steal": 0.0, "reasons": {"power-cap": 0.25}, "spoilt_s": {"hw-thermal": 0.3}},
        energy={"joules": 2500.0, "images": 40000, "s": 5.25, "temperature_c": [41, 55]},
        largest=LARGEST,
        warmup={"s": 1.5, "executions": 1200, "stationary": True},
        cold={
            "import_s": 3.5,
            "build_s": 0.75,
            "prepare_s": 45.25,
            "place_s": 0.002,
            "first_call_s": 0.0625,
            "caches": "fresh",
        },
        memory={
            "weights": 51220728,
            "allocator_allocated_peak": 120000000,
            "allocator_reserved_peak": 130000000,
            "device_process": 900000000,
            "host_resident_peak": 2000000000,
        },
        gate={
            "before": CHECK | {"pictures": 16},
            "during": CHECK | {"max_multiple": 1.75, "pictures": 24},
            "after": CHECK | {"rms_multiple": 1.375, "top1": 0.9375, "pictures": 16},
        },
        details={"memory_format": "channels_last", "input_dtype": "float16", "graph": True, "weights_bytes": 51220728},
        runtime={"onednn": "3.11.1", "threads": 8, "cuda": "13.0", "cudnn": 91300, "l2_bytes": 52428800},
        attempts=[{"status": "memory", "reason": "OutOfMemoryError: CUDA out of memory"}],
        input={"source": "photos", "files": 10, "digest": "8a0a3bb7f19a12e7", "note": "resized"},
        weights="8edbb4b77f605225",
        **ALIKE,
    ),
    Record(
        Case("resnet18v2-A", "onnxruntime", "fp32", 1, 64, "stream"),
        0,
        "crash",
        reason="died by signal SIGSEGV, in: first call. It printed nothing. ünïcode \n two lines",
        order=3,
        started="2026-11-24T08:16:31+00:00",
        wall_s=4.5,
        **ALIKE,
    ),
    Record(
        Case("resnet101", "library-fused", "bf16", 32, 224, "stream"),
        1,
        "throttled",
        reason="6 of 8 samples fell to hw-thermal",
        order=9,
        started="2026-11-24T08:16:36+00:00",
        wall_s=30.25,
        latency_ns=[500, 510, 520, 530, 540, 550, 560, 570],
        throttled={"latency": [[0, 5]]},
        attempts=[{"status": "throttled", "reason": "7 of 8 samples fell to hw-thermal"}],
        **ALIKE,
    ),
    Record(Case.parse("resnet50/eager/fp16/bmax/i224/stream"), 0, "ok", order=30, largest=LARGEST, **ALIKE),
]


def lines(version: int) -> list[str]:
    return (GOLDEN / f"schema{version}.jsonl").read_text().splitlines()


def test_every_version_has_its_records() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(f"schema{version}.jsonl" for version in VERSIONS)
    for version in VERSIONS:
        assert {json.loads(line)["schema"] for line in lines(version)} == {version}
    assert set(UPGRADES) == set(VERSIONS) - {SCHEMA}, "an upgrade for each version but the newest"


def test_the_newest_version_reads_what_it_wrote() -> None:
    assert [Record.parse(line) for line in lines(SCHEMA)] == NEWEST


def test_the_newest_version_writes_what_it_wrote() -> None:
    """Fails where a field is renamed, added, or left out, and the schema is what it was."""
    assert [Record.parse(line).line() for line in lines(SCHEMA)] == lines(SCHEMA)
    assert set(json.loads(lines(SCHEMA)[0])) == set(Record.__dataclass_fields__)


def test_the_newest_record_has_every_field_filled() -> None:
    empty = [item.name for item in fields(Record) if not getattr(NEWEST[0], item.name)]
    assert empty == ["reason"]  # which `ok` has none of
    assert {record.status for record in NEWEST} <= STATUSES.keys()


@pytest.mark.parametrize("version", list(VERSIONS)[:-1])
def test_an_older_version_is_upgraded_field_by_field(version: int) -> None:
    """What it had is as it was, and what came later is as if nothing had been measured."""
    brought = set().union(*(BROUGHT[later] for later in range(version + 1, SCHEMA + 1)))
    for line in lines(version):
        old, new = json.loads(line), Record.parse(line)
        assert set(old) | brought == set(Record.__dataclass_fields__)
        assert not set(old) & brought
        assert (old.pop("schema"), new.schema) == (version, SCHEMA)
        assert old.pop("case") == new.case.name
        for name, value in old.items():
            assert getattr(new, name) == value, name
        for item in fields(Record):
            if item.name in brought:
                empty = item.default if item.default_factory is MISSING else item.default_factory()
                assert getattr(new, item.name) == empty, item.name


def test_a_real_record_of_schema_1() -> None:
    found = Record.parse(lines(1)[3])
    environment = found.environment
    found.environment = {}
    after = {"rms": 3.0379650661301607e-06, "max": 1.270820599286182e-05}
    after |= {"rms_multiple": 0.8528884596960774, "max_multiple": 0.849128767611926}
    assert found.gate["after"] == after | {"top1": 1.0, "top1_plain": 1.0, "pictures": 2}
    found.gate = {}
    assert found == Record(
        Case("resnet50", "onnxruntime", "fp32", 1, 224, "stream"),
        0,
        "ok",
        order=1,
        device="cpu",
        started="2026-11-23T20:49:31+00:00",
        wall_s=14.248028164000061,
        latency_ns=[
            *(74903957, 53031892, 50586503, 50811348, 51440775, 53598335, 51621574, 51479792, 50847771, 50212846)
        ],
        latency_stop={"rule": "noise", "asked": 0.05, "reached": 0.029263655339170448},
        throughput={"images": 22, "ns": 1206915541},
        warmup={"s": 0.352283578, "executions": 6, "stationary": True},
        cold={
            "import_s": 1.7213375450010062,
            "build_s": 0.716561224000543,
            "prepare_s": 8.876299553001445,
            "place_s": 0.0030499899985443335,
            "first_call_s": 0.07423583200034045,
        },
        memory={
            "weights": 102315134,
            "allocator_allocated_peak": None,
            "allocator_reserved_peak": None,
            "device_process": None,
            "host_resident": 920055808,
        },
        details={
            "memory_format": "contiguous",
            "input_dtype": "float32",
            "graph": False,
            "export_cached": False,
            "weights_bytes": 102315134,
            "providers": ["CPUExecutionProvider"],
            "provider_options": {},
            "options_unknown_here": [],
            "threads": 2,
        },
        input={"source": "photos", "files": 10, "digest": "8a0a3bb7f19a12e7", "note": ""},
        weights="8edbb4b77f605225",
        settings={"warmup_s": 0.3, "warmup_limit_s": 0.7, "latency_s": 0.5, "latency_limit_s": 1.0}
        | {"samples": 6, "noise": 0.05, "throughput_s": 1.0, "limit_s": 300.0, "buffers": 2},
        plan={"name": "quick", "digest": "e594b9bc0b0297d5"},
    )
    assert environment["cpu"]["name"] == "AMD EPYC"
    assert environment["git"] == {"sha": "b399835803dcc68fb7a125df5ea4746ef0f7af56", "dirty": False}
    assert environment["packages"]["torch"] == "2.13.0+cpu"


def test_the_others_of_schema_1() -> None:
    skipped, eager, compiled, _ = (Record.parse(line) for line in lines(1))
    assert (skipped.status, skipped.started, skipped.latency_ns) == ("skipped", "", [])
    assert skipped.reason.startswith("torch runs fp16 convolutions on a CPU about 10 times slower")
    assert eager.case == Case("resnet50", "eager", "fp32", 1, 224, "stream")
    assert eager.latency_ns == [
        *(83073586, 79410014, 79350605, 82805577, 86539765, 92789027, 83807179, 81984295, 82146947)
    ]
    assert compiled.case.variant == "compile"
    assert compiled.gate["after"]["top1"] == 0.9375


def test_device_times_with_the_hosts_launches_inside_stand_beside_no_others() -> None:
    """Those of schema 2 are read, and are no device time."""
    old = Record.parse(lines(2)[0])
    assert (len(old.gpu_ns), len(old.flushed_gpu_ns)) == (len(old.latency_ns), len(old.flushed_ns))
    assert (old.fallen("gpu_ns"), old.fallen("flushed_gpu_ns")) == ([3, 4, 7], [2])  # of the same executions
    assert old.kept("gpu_ns") == old.kept("flushed_gpu_ns") == []
    assert len(old.kept("latency_ns")) == 7
    row = load(GOLDEN / "schema2.jsonl", samples=True).iloc[0]
    assert row[["gpu_p50_ns", "flushed_gpu_p50_ns"]].isna().all()
    assert (row["p50_ns"], row["gpu_samples"], list(row["gpu_ns"])) == (1030, 0, old.gpu_ns)


def test_every_column_of_the_frame_has_a_value_in_some_golden_record() -> None:
    """A name inside a field that the frame reads under another is a column without a value."""
    frame = load(*(GOLDEN / f"schema{version}.jsonl" for version in VERSIONS))
    assert len(frame) == sum(len(lines(version)) for version in VERSIONS)
    assert [name for name in COLUMNS if frame[name].isna().all()] == []


def test_the_frame_of_the_newest_golden_record() -> None:
    found = load(GOLDEN / f"schema{SCHEMA}.jsonl", samples=True)
    assert found["case"].tolist() == [record.case.name for record in NEWEST]
    assert found["batch"].isna().tolist() == [False, False, False, True]
    assert found["largest_batch"][3] == 3072
    row = found.iloc[0]
    # throttled samples 3, 4, 7 and 2 are left out: 7 remain, too few of none; 6 remain of the flushed
    assert (row["p50_ns"], row["p50_low_ns"], row["p50_high_ns"]) == (1030, 1000, 1060)
    assert (row["samples"], row["dropped"], row["flushed_samples"], row["flushed_dropped"]) == (7, 3, 6, 1)
    assert (row["gpu_p50_ns"], row["flushed_p50_ns"], row["flushed_gpu_p50_ns"]) == (920, 1325, 1215)
    assert [list(row[f"{name}_fallen"]) for name in ("latency", "gpu", "flushed", "flushed_gpu")] == [
        *([3, 4, 7], [3], [2], [0]),
    ]
    assert (row["gpu_how"], row["gpu_samples"]) == ("held", 5)
    assert (list(row["flushed_ns"]), list(row["gpu_ns"])) == (NEWEST[0].flushed_ns, NEWEST[0].gpu_ns)
    assert (row["images_per_s"], row["energy_j_per_image"], row["temperature_c"]) == (6400, 0.0625, 55)
    assert (row["gate_rms_multiple"], row["gate_max_multiple"], row["top1"]) == (1.375, 1.75, 0.9375)
    assert (row["largest_batch"], row["attempts"], row["throughput_throttled_s"]) == (3072, 1, 0.125)
    assert (row["gpu"], row["driver"], row["onnxruntime"], row["cores"]) == (
        *("NVIDIA H100 80GB HBM3", "580.95.05", "1.31.1"),
        16,
    )


if __name__ == "__main__":
    (GOLDEN / f"schema{SCHEMA}.jsonl").write_text("".join(record.line() + "\n" for record in NEWEST))
