"""Records of a sweep over precisions, with 8 bits and scores, as the harness would write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.records.record import Record
from tests.bench.report.shown import windows

Make = Callable[..., Record]
WOBBLE = (1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99)
# variant, precision -> speed, MB on disk, pictures of 500 that agree with float32, lost and gained ones
WAYS: dict[tuple[str, str], tuple[float, float, int, int, int]] = {
    ("eager", "fp32"): (1.0, 102.2, 500, 0, 0),
    ("eager", "bf16"): (1.9, 51.1, 498, 1, 1),
    ("channels-last-amp", "bf16"): (1.7, 102.2, 497, 1, 1),
    ("onnxruntime", "fp32"): (1.3, 102.2, 500, 0, 0),
    ("onnxruntime", "int8"): (2.9, 26.1, 418, 24, 6),
    ("library-fused", "fp32"): (1.2, 102.2, 500, 0, 0),
    ("library-fused", "bf16"): (2.5, 51.1, 499, 0, 0),
    ("library-fused", "int8"): (3.6, 26.2, 431, 17, 9),
}
CHECK = {"rms_multiple": 1.1, "max_multiple": 1.2, "top1": 1.0, "top1_plain": 1.0, "pictures": 16}


def quantized(variant: str, wide: tuple[str, ...] = ("fc",)) -> dict[str, Any]:
    checked = "units" if variant == "library-fused" else "taps"
    return {
        "calibrate": "mse", "pictures": 64, "steps": 72, "layers": 53, "wide": list(wide), "checked": checked,
        "ranges": "6d1f0ab2c3d4e5f6",
    }  # fmt: skip


def score(agree: int, lost: int = 0, gained: int = 0, labelled: bool = True, right: int = 385) -> dict[str, Any]:
    found: dict[str, Any] = {"pictures": 500, "agree": agree, "rms": (500 - agree) / 800 + 1e-5, "labelled": labelled}
    if labelled:
        found |= {"top1": right - lost + gained, "plain_top1": right, "top5": 460, "plain_top5": 462}
        found |= {"lost": lost, "gained": gained, "data": "0123456789abcdef"}
    return found


def sweep(record: Make, models: dict[str, float], labelled: bool = True, scored: bool = True) -> list[Record]:
    """A record of each of WAYS at batch 1 and 8; a model is so many times as slow as the first."""
    made = []
    for model, cost in models.items():
        for (variant, precision), (gain, disk, agree, lost, gained) in WAYS.items():
            for batch in (1, 8):
                speed, eight = 40 * gain / cost * (1 + 0.1 * (batch > 1)), precision == "int8"
                fields: dict[str, Any] = {"memory": {"weights": round(disk * 1e6), "host_resident_peak": 400 << 20}}
                fields["gate"] = {"before": CHECK | ({"code_distance": 0.500003} if eight else {})}
                if eight:
                    fields["quantized"] = quantized(variant) | {"disk_bytes": round(disk * 1e6)}
                if scored:
                    right = round(350 + 40 * cost**0.5)
                    fields["score"] = score(agree, lost, gained, labelled, right)
                name = f"{model}/{variant}/{precision}/b{batch}/i224/stream"
                ms = 1000 * batch / speed
                made.append(record(name, ms=ms, **windows([speed * one for one in WOBBLE]), **fields))
    return made
