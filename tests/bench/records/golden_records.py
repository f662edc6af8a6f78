"""The golden files, a schema version each, and the records that the newest version wrote to its own."""

from pathlib import Path
from typing import Any

from bench.plans.case import Case
from bench.records.fields import Network
from bench.records.record import SCHEMA, Record

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = range(1, SCHEMA + 1)
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
NETWORK: Network = {
    "origin": "timm 1.0.31",
    "weights": "file",
    "file": "5c106cde386e87d4",
    "choice": "EMA weights, of state_dict_ema",
    "num_classes": 10,
    "in_channels": 1,
    "parameters": 25557032,
    "given": {"num_classes": 10, "entry": "state_dict_ema"},
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
        windows=[
            {"turn": 0, "start_ns": 5000000000, "images": 8000, "ns": 1250000000},
            {"turn": 1, "start_ns": 9000000000, "images": 8000, "ns": 2500000000, "disturbed": "hw-thermal"},
            {"turn": 2, "start_ns": 13000000000, "images": 8000, "ns": 1240000000},
        ],
        throttled={
            "latency": [[3, 4], [7, 7]],
            "gpu": [[3, 3]],
            "flushed": [[2, 2]],
            "flushed_gpu": [[0, 0]],
            "throughput_s": 0.125,
        },
        watch=WATCH | {"steal": 0.0, "waited": 0.125, "reasons": {"power-cap": 0.25}, "spoilt_s": {"hw-thermal": 0.3}},
        flushed_watch=WATCH | {"gap_s": 1.5, "unreadable": "the watching process ended (exit status -9)"},
        energy={
            "joules": 2500.0,
            "images": 40000,
            "start_ns": 14000000000,
            "s": 5.25,
            "temperature_c": [41, 55],
        },
        largest=LARGEST,
        quantized={
            "calibrate": "mse",
            "pictures": 64,
            "ranges": "6d1f0ab2c3d4e5f6",
            "steps": 72,
            "layers": 53,
            "wide": ["fc"],
            "why_wide": {"fc": "asked for"},
            "float_operations": ["ReduceMean"],
            "checked": "taps",
            "disk_bytes": 26100000,
        },
        score={
            "pictures": 512,
            "agree": 430,
            "rms": 0.118,
            "labelled": True,
            "top1": 401,
            "top5": 470,
            "plain_top1": 405,
            "plain_top5": 472,
            "lost": 9,
            "gained": 5,
            "data": "0123456789abcdef",
            "s": 4.5,
        },
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
            "before": CHECK
            | {"pictures": 16, "code_distance": 0.500003, "code_worst": "layer1.0.add", "code_flips": 1.5e-06},
            "during": CHECK | {"max_multiple": 1.75, "pictures": 24},
            "after": CHECK | {"rms_multiple": 1.375, "top1": 0.9375, "pictures": 16},
        },
        details={"memory_format": "channels_last", "input_dtype": "float16", "graph": True, "weights_bytes": 51220728},
        runtime={"onednn": "3.11.1", "threads": 8, "cuda": "13.0", "cudnn": 91300, "l2_bytes": 52428800},
        attempts=[{"status": "memory", "reason": "OutOfMemoryError: CUDA out of memory"}],
        input={"source": "photos", "files": 10, "digest": "8a0a3bb7f19a12e7", "note": "resized"},
        weights="8edbb4b77f605225",
        network=NETWORK,
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
