"""A layer counts its work, is told apart by its key, and has its columns aligned."""

from dataclasses import replace

from kernels.space.layer import Layer, packed_columns
from tests.kernels.shapes import ACTIVATED, FOLDED, LAST, MIDDLE, STEM, STRIDED


def test_a_layer_counts_what_it_moves_and_computes() -> None:
    assert (STEM.out_h, STEM.out_w, STEM.rows) == (112, 112, 32 * 112 * 112)
    assert STEM.flops == 2 * 32 * 112 * 112 * 64 * 147
    assert LAST.bytes == 2 * (32 * 56 * 56 * (64 + 256 + 256) + 256 * 64) + 4 * 256
    # a strided 1x1 reads a quarter of the pixels
    assert FOLDED.bytes == 2 * (32 * 28 * 28 * (128 + 256 + 512) + 512 * 384) + 4 * 512
    assert replace(STRIDED, kernel=(1, 1), padding=0).bytes == 2 * (32 * 14 * 14 * 512 + 65536) + 4 * 256
    assert ACTIVATED.bytes == replace(ACTIVATED, prologue=False).bytes + 8 * 256
    # pooled: a quarter of the pixels is written, and as much computed
    pooled = replace(STEM, pool=True)
    assert STEM.bytes - pooled.bytes == 2 * 32 * 64 * (112 * 112 - 56 * 56)
    assert pooled.flops == STEM.flops
    # all pixels are read, one an image is multiplied
    head = Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True)
    assert head.bytes == 2 * (32 * 49 * 2048 + 2048 * 1000 + 32 * 1000) + 4 * 1000
    assert (head.flops, head.rows, head.pointwise) == (2 * 32 * 2048 * 1000, 32, False)


def test_the_key_tells_layers_apart_and_stays() -> None:
    assert STEM.key == "fp16-n32-224x224x3-7x7-s2-p3-k64-relu"
    assert FOLDED.key == "fp16-n32-28x28x128-1x1-s1-p0-k512-and56x56x256s2-relu"
    changes = {
        "n": 3,
        "h": 9,
        "w": 9,
        "c_in": 9,
        "c_out": 9,
        "kernel": (5, 5),
        "stride": 3,
        "padding": 4,
        "residual": True,
        "relu": False,
        "second": (56, 56, 8, 1),
        "prologue": True,
        "dtype": "bf16",
        "pool": True,
        "mean": True,
        "reads": "int8",
        "writes": "int8",
    }
    assert set(changes) == set(Layer.__dataclass_fields__)
    assert len({MIDDLE.key, *(replace(MIDDLE, **{name: value}).key for name, value in changes.items())}) == 18


def test_a_layer_of_codes_counts_a_byte_each() -> None:
    codes = replace(LAST, dtype="int8")
    assert codes.bytes == 32 * 56 * 56 * (64 + 256 + 256) + 256 * 64 + 4 * 256 + 4 * 257
    head = Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True, reads="fp8")
    assert head.bytes == 32 * 49 * 2048 + 2 * (2048 * 1000 + 32 * 1000) + 4 * 1001
    assert (LAST.factors, codes.factors, head.factors, replace(LAST, writes="int8").factors) == (0, 257, 1, 257)
    assert replace(codes, n=1).key == "int8-n1-56x56x64-1x1-s1-p0-k256-residual-relu"
    assert head.key == "fp16-n32-7x7x2048-1x1-s1-p0-k1000-mean-reads-fp8"


def test_columns_are_aligned() -> None:
    assert (packed_columns(3, (7, 7), 0, "fp16").flat, packed_columns(3, (7, 7), 0, "fp16").total) == (True, 152)
    assert (packed_columns(64, (3, 3), 256, "fp16").first, packed_columns(64, (3, 3), 256, "fp16").total) == (576, 832)
    assert packed_columns(37, (1, 1), 5, "fp32").total == 40 + 8
