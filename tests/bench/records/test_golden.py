"""A file of records for every schema version: what was written once is read for ever.

`golden/schemaN.jsonl` is what version N wrote, and never changes once that version is published. Whoever raises SCHEMA
puts the new fields into NEWEST of `golden_records.py` and writes the new version's file: `PYTHONPATH=. python
tests/bench/records/test_golden.py`.
"""

import json
from dataclasses import MISSING, fields

import pytest

from bench.plans.case import Case
from bench.records.record import SCHEMA, STATUSES, Record
from tests.bench.records.golden_records import GOLDEN, NEWEST, VERSIONS, lines

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
    4: {"network"},
    5: {"windows", "flushed_watch"},
    6: {"quantized", "score"},
}


def test_every_version_has_its_records() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(f"schema{version}.jsonl" for version in VERSIONS)
    for version in VERSIONS:
        assert {json.loads(line)["schema"] for line in lines(version)} == {version}


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


if __name__ == "__main__":
    (GOLDEN / f"schema{SCHEMA}.jsonl").write_text("".join(record.line() + "\n" for record in NEWEST))
