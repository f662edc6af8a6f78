"""Launches prepared for a GPU, without one: Triton compiles for sm_90, a driver of ours notes what is launched."""

import gc
import importlib.util
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

if importlib.util.find_spec("triton") is None:
    pytest.skip("kernels need triton", allow_module_level=True)

import triton
from triton.backends.compiler import GPUTarget
from triton.tools.tensor_descriptor import TensorDescriptor

import resnet.archs
import resnet.model
from kernels import conv, table
from kernels.cards import places
from kernels.kinds import implementation, space_of
from kernels.launch import serialized_parsing
from kernels.space.config import Config
from kernels.space.layer import Layer
from resnet.archs import Spec
from resnet.fold import fold
from resnet.fused import launches, network
from resnet.fused.launches import Target
from resnet.fused.network import FusedNetwork
from resnet.fused.program import build_program

HOPPER = Target("no GPU", 90, 132)


class Launcher:
    """In the place of what hands a compiled kernel to the driver."""

    launched: ClassVar[list[tuple[Any, ...]]] = []

    def __init__(self, source: Any, metadata: Any) -> None: ...

    def __call__(self, *arguments: Any) -> None:
        self.launched.append(arguments)


class Utils:
    def load_binary(self, *_: Any) -> tuple[int, int, int, int, int]:
        """Module, function, registers, spills, most threads."""
        return 1, 2, 32, 0, 1024

    def get_device_properties(self, _: int) -> dict[str, int]:
        return {"max_shared_mem": 232_448}


class Driver:
    utils, launcher_cls = Utils(), Launcher

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 7

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every kernel that is launched, with its arguments."""
    if torch.cuda.is_available():
        pytest.skip("its caches are the real driver's here")
    monkeypatch.setattr(network.launches, "target_of", lambda *_: HOPPER)
    monkeypatch.setattr(triton.runtime.driver, "_active", Driver())
    Launcher.launched.clear()
    seen = []
    run = launches.Launch.enqueue

    def noted(self: Any, *arguments: Any) -> Any:
        seen.append((self, arguments))
        return run(self, *arguments)

    monkeypatch.setattr(launches.Launch, "enqueue", noted)
    yield seen
    for launch, _ in seen:
        launch.kernel.device_caches.clear()


def of(name: str, shape: tuple[int, ...], precision: str = "fp16") -> FusedNetwork:
    made = build_program(fold(resnet.model.ResNet(Spec.parse(name), num_classes=16).eval()), shape)
    return FusedNetwork(made, precision, torch.device("cpu"))


def plain(argument: Any) -> Any:
    """What can be compared; the metadata that a profiler would be handed is made anew at each launch."""
    if isinstance(argument, TensorDescriptor):
        return argument.base.data_ptr(), argument.shape, argument.strides, argument.block_shape
    if isinstance(argument, tuple):
        return tuple(map(plain, argument))
    return argument.data_ptr() if isinstance(argument, Tensor) else argument


@pytest.mark.parametrize("bulk", [False, True])
def test_a_short_launch_is_what_triton_s_own_would_be(bulk, hopper, monkeypatch) -> None:
    monkeypatch.setattr(resnet.archs, "STAGE_WIDTHS", (16, 16, 32, 64))
    if bulk:
        monkeypatch.setattr(
            table,
            "config_for",
            lambda layer, *_: next(
                (c for c in space_of(layer).candidates(layer, 90, 132) if c.impl == "tma"),
                space_of(layer).default_config(layer, 90, 132),
            ),
        )
    net = of("resnet50", (1, 3, 64, 64))
    direct = list(Launcher.launched)
    assert len(hopper) == len(net.calls) + 1
    assert len(direct) == 2 * len(hopper)  # Triton's and the short one, in turn
    assert any(isinstance(a, TensorDescriptor) for call in direct for a in call[9:]) == bulk
    for own, short in zip(direct[::2], direct[1::2], strict=True):
        assert [plain(a) for a in own[:6] + own[7:]] == [plain(a) for a in short[:6] + short[7:]]
    x = torch.zeros(net.shape, dtype=torch.float16).to(memory_format=torch.channels_last)
    Launcher.launched.clear()
    net(x)
    assert len(Launcher.launched) == len(hopper)
    assert Launcher.launched[0][9] is x


def test_everything_is_compiled_before_anything_is_launched(hopper, monkeypatch) -> None:
    monkeypatch.setattr(resnet.archs, "STAGE_WIDTHS", (16, 16, 32, 64))
    cached = []
    real = launches.compile_together

    def compiled(bound: Any) -> bool:
        found = real(bound)
        assert not hopper
        cached.append({id(launch.kernel): len(launch.kernel.device_caches[0][0]) for launch, _ in bound})
        return found

    monkeypatch.setattr(launches, "compile_together", compiled)
    of("resnet18v2", (2, 3, 64, 64))
    assert cached == [{id(launch.kernel): len(launch.kernel.device_caches[0][0]) for launch, _ in hopper}]


def test_it_is_told_whether_everything_was_compiled_before(hopper, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(resnet.archs, "STAGE_WIDTHS", (16, 16, 16, 16))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    assert not of("resnet18", (1, 3, 32, 32)).cached
    for launch, _ in hopper:
        launch.kernel.device_caches.clear()  # as a new process finds them
    assert of("resnet18", (1, 3, 32, 32)).cached
    assert triton.knobs.compilation.listener is None


def test_only_what_was_measured_on_this_card_is_installed_and_recorded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(table, "_installed", table.Table())
    monkeypatch.setattr(launches, "_installed_here", None)
    layer, h100, h200 = Layer(1, 8, 8, 64, 64, (1, 1)), "NVIDIA H100 80GB HBM3", "NVIDIA H200"
    none = launches.install_tuned(h100, tmp_path)
    assert none["tables"] == []
    assert none["choice"] == f"the model's: no layer was measured on {h100}"
    assert "none is measured" in none["constants"]

    def entry(gpu: str, layer: Layer, config: str, chosen: str = "measured") -> table.Entry:
        return table.Entry(gpu, layer.key, config, chosen, 5.0, "2026-11-23T00:00:00", "3.7.1")

    other = Layer(1, 8, 8, 128, 64, (1, 1))
    config = "ptr-128x64x32-w4-s3-k1-g8"
    places.tuned_path(h100, tmp_path).parent.mkdir()
    predicted = entry(h100, other, config, "model")  # what a model chose once is not what it chooses now
    table.Table([entry(h100, layer, config), predicted]).save(places.tuned_path(h100, tmp_path))
    table.Table([entry(h200, layer, "ptr-64x64x32-w4-s3-k1-g8")]).save(places.tuned_path(h200, tmp_path))
    for _ in range(2):
        told = launches.install_tuned(h100, tmp_path)
        assert (told["tables"], told["choice"]) == (["nvidia-h100-80gb-hbm3.json"], f"1 layers measured on {h100}")
    assert str(launches.config_of(layer, Target(h100, 90, 132))) == config
    assert launches.config_of(other, Target(h100, 90, 132)) == space_of(other).default_config(other, 90, 132, h100)
    assert launches.config_of(layer, Target(h200, 90, 132)) == space_of(layer).default_config(layer, 90, 132, h200)
    assert launches.install_tuned("Another", tmp_path)["tables"] == []
    assert launches.config_of(layer, Target(h100, 90, 132)) == space_of(layer).default_config(layer, 90, 132, h100)
    table.install(table.Table([entry(h200, layer, config)]))  # what a process installed stays
    assert "itself" in launches.install_tuned(h100, tmp_path)["choice"]
    assert str(launches.config_of(layer, Target(h200, 90, 132))) == config


def test_a_damaged_table_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(table, "_installed", table.Table())
    path = places.tuned_path("One", tmp_path)
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(ValueError, match=r"one\.json: not a table of configurations"):
        launches.install_tuned("One", tmp_path)


def test_an_entry_that_is_none_for_its_layer_is_refused_with_a_cure(monkeypatch) -> None:
    layer = Layer(1, 64, 64, 3, 64, (7, 7), 2, 3, pool=True)
    entry = table.Entry("One", layer.key, "ptr-64x64x64-w4-s3-k1-g8", "measured", 5.0, "2026-11-23T00:00:00", "3.7.1")
    monkeypatch.setattr(table, "_installed", table.Table([entry]))
    with pytest.raises(ValueError, match=r"7x7-s2-p3-k64-relu-pool: pointer loads.*`bench tune` writes another"):
        launches.config_of(layer, Target("One", 90, 132))


def test_all_that_kernels_pass_on_is_in_the_plan_of_memory(hopper, monkeypatch) -> None:
    """A head's averages and partial sums, too: a network holds its memory, its logits, its weights."""
    monkeypatch.setattr(resnet.archs, "STAGE_WIDTHS", (16, 16, 16, 64))
    two = Config.parse("ptr-16x16x32-w4-s3-k2-g8-pdl")
    monkeypatch.setattr(
        table, "config_for", lambda layer, *_: two if layer.mean else space_of(layer).default_config(layer, 90, 132)
    )
    net = of("resnet18", (8, 3, 32, 32))
    (head,) = (layer for layer in net.configs if layer.mean)
    assert implementation(head, two).scratch_bytes(head, two) == 2 * 8 * 64 + 4 * 2 * 8 * 16
    assert net.step_indices[-3:] == [17] * 3  # averages, their product, its sums
    assert len(net.step_indices) == len(net.calls) + 1
    held = [(net.memory.data_ptr(), net.memory.nbytes), (net.logits.data_ptr(), net.logits.nbytes)]
    held += [(buffer.data_ptr(), buffer.nbytes) for buffer in net.buffers()]
    assert net.activation_bytes == held[0][1] + held[1][1]
    image = hopper[0][1][0].data_ptr()  # the stem's, which comes with each call
    for _, arguments in hopper:
        for argument in arguments:
            tensor = argument.base if isinstance(argument, TensorDescriptor) else argument
            if isinstance(tensor, Tensor) and tensor.data_ptr() != image:
                assert any(start <= tensor.data_ptr() <= start + size for start, size in held)


class _Yields:
    """Garbage whose end lets another thread run, as that of a file or a lock may: in the midst of a parse."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.sleep(0)


def test_kernels_are_parsed_by_one_thread_at_a_time() -> None:
    """On Python 3.11 this fails without the lock in most runs: `AST constructor recursion depth mismatch`."""
    thresholds = gc.get_threshold()
    interval = sys.getswitchinterval()

    def parse() -> list[str]:
        names = []
        for _ in range(20):
            _Yields()
            names.append(conv._kernel.parse().body[0].name)
        return names

    try:
        sys.setswitchinterval(1e-6)
        gc.set_threshold(5)
        with serialized_parsing(), ThreadPoolExecutor(4) as pool:
            names = [future.result() for future in [pool.submit(parse) for _ in range(4)]]
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
    assert names == [["_kernel"] * 20] * 4
