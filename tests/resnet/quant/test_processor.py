from pathlib import Path

import pytest

from resnet.quant import processor


@pytest.mark.parametrize(
    ("machine", "flags", "overflows"),
    [("x86_64", "avx2 avx512f", True), ("x86_64", "avx2 avx_vnni", False), ("aarch64", "asimd", False)],
)
def test_sums_overflow_on_an_x86_without_vnni(
    machine: str, flags: str, overflows: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}")
    assert bool(processor.overflow(tmp_path / "cpuinfo")) == overflows
    assert processor.overflow(tmp_path / "absent").endswith("cannot be read that it has") == (machine == "x86_64")


def test_reduced_weights_keep_two_products_in_16_bits() -> None:
    assert 2 * 255 * processor.REDUCED < 2**15 <= 2 * 255 * (processor.REDUCED + 1)
