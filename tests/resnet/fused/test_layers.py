import pytest

from resnet.fused.layers import layers_of
from tests.networks import convolutions


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50v1", "resnet50v2"])
def test_a_network_s_layers_are_all_there(name: str) -> None:
    """The convolutions are those that `fused` runs; before and behind them are the stem and the head."""
    first, *convs, last = dict.fromkeys(layers_of(name, 2, 224, "bf16"))
    assert convs == convolutions(name, 2, 224, "bf16")
    assert (first.n, first.h, first.c_in, first.kernel, first.relu) == (2, 224, 3, (7, 7), name != "resnet50v2")
    assert (last.n, last.h, last.c_out, last.prologue) == (2, 7, 1000, name == "resnet50v2")
