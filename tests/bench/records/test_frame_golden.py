"""The golden records of every schema version as a frame."""

from bench.records.columns import COLUMNS
from bench.records.frame import load
from bench.records.record import SCHEMA, Record
from tests.bench.records.golden_records import GOLDEN, NEWEST, VERSIONS, lines


def test_device_times_with_the_hosts_launches_inside_stand_beside_no_others() -> None:
    """Those of schema 2 are read, and are no device time."""
    old = Record.parse(lines(2)[0])
    assert (len(old.gpu_ns), len(old.flushed_gpu_ns)) == (len(old.latency_ns), len(old.flushed_ns))
    assert (old.throttled_indices("gpu_ns"), old.throttled_indices("flushed_gpu_ns")) == (
        [3, 4, 7],
        [2],
    )  # of the same executions
    assert old.kept("gpu_ns") == old.kept("flushed_gpu_ns") == []
    assert len(old.kept("latency_ns")) == 7
    row = load(GOLDEN / "schema2.jsonl", samples=True).iloc[0]
    assert row[["gpu_p50_ns", "flushed_gpu_p50_ns"]].isna().all()
    assert (row["p50_ns"], row["gpu_samples"], list(row["gpu_ns"])) == (1030, 0, old.gpu_ns)


def test_every_column_of_the_frame_has_a_value_in_some_golden_record() -> None:
    """A name inside a field that the frame reads under another is a column without a value."""
    frame = load(*(GOLDEN / f"schema{version}.jsonl" for version in VERSIONS))
    assert len(frame) == sum(len(lines(version)) for version in VERSIONS)
    # of more samples than a golden record has, of a CPU, and of libraries and facts that came later
    absent = ("p90_", "p99_", "other_work", "openvino", "torchao", "process", "artefact", "load_s", "first_answer_s")
    assert [name for name in COLUMNS if frame[name].isna().all() and not name.startswith(absent)] == []


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


def test_the_price_of_a_precision_is_in_the_frame() -> None:
    row = load(GOLDEN / f"schema{SCHEMA}.jsonl").iloc[0]
    assert (row["disk_bytes"], row["layers_wide"], row["checked"]) == (26100000, "fc", "taps")
    assert (row["code_distance"], row["code_worst"]) == (0.500003, "layer1.0.add")
    assert row["agreement"] == 430 / 512
    assert row["agreement_low"] < row["agreement"] < row["agreement_high"]
    assert (row["accuracy"], row["accuracy_top5"], row["accuracy_loss"]) == (401 / 512, 470 / 512, 4 / 512)
    assert row["accuracy_loss_low"] < 0 < row["accuracy_loss_high"]
