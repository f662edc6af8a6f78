"""A configuration and its text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.space.config import Config

pow2 = st.integers(0, 6).map(lambda i: 2**i)


@given(st.sampled_from(["ptr", "tma"]), *(pow2,) * 5, *(st.integers(1, 32),) * 3, st.booleans())
def test_a_configuration_is_its_text(impl, n, h, w, block_n, warps, stages, split_k, group_m, pdl) -> None:
    box = (n, h, w) if impl == "tma" else None
    config = Config(impl, n * h * w, block_n, 64, warps, stages, box, split_k, group_m, pdl)
    assert Config.parse(str(config)) == config


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"impl": "cuda"}, "impl"),
        ({"block_m": 96}, "block_m"),
        ({"stages": 0}, "stages"),
        ({"split_k": 0}, "split_k"),
        ({"box": (1, 8, 8)}, "box"),
        ({"impl": "tma"}, "box"),
        ({"impl": "tma", "box": (1, 8, 4)}, "box"),
        ({"impl": "tma", "box": (1, 32, 2), "block_m": 64, "warps": 3}, "warps"),
    ],
)
def test_a_wrong_configuration_is_named(wrong, named) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        Config(**{"impl": "ptr", "block_m": 64, "block_n": 64, "block_k": 64, "warps": 4, "stages": 3, **wrong})


def test_text_that_is_no_configuration() -> None:
    with pytest.raises(ValueError, match=r"^config: "):
        Config.parse("ptr-64x64")
