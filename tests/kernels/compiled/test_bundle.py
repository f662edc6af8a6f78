"""Which files a bundle's digest covers. What a bundle holds: tests/resnet/fused/test_carried.py."""

from kernels.compiled.bundle import PACKAGE, kernel_sources, sources_digest


def test_the_digest_covers_what_kernels_are_made_of_and_not_how_they_are_ranked() -> None:
    names = {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in kernel_sources()}
    assert {"conv", "conv_reduce", "conv_tma", "head", "stem", "launch", "packing", "tf32", "tile"} <= names
    assert {"space/layer", "space/config", "space/tiling"} <= names
    assert not {name for name in names if name.startswith(("cards/", "compiled/", "experiments/")) or "op" in name}
    assert not {"space/conv", "space/machine", "space/registers", "table", "call"} & names
    assert len(sources_digest()) == 8
