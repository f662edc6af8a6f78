"""The layers of networks, read by a child, because the parent has no torch to walk a network with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.errors import WorkError
from bench.runs.kernel_jobs import LayerData, NetworkRow, NetworksJob
from bench.runs.process import request
from bench.runs.wire import Json
from bench.tuning.gpus import Gpu
from kernels.space.layer import Layer

LIMIT_S = 300.0


@dataclass(frozen=True)
class Network:
    """A model at a batch and precision: its distinct layers, with stem and head, and how often each runs."""

    model: str
    batch: int
    precision: str
    layers: dict[Layer, int]

    @staticmethod
    def from_json(data: NetworkRow) -> Network:
        layers = {layer_from_json(layer): count for layer, count in data["layers"]}
        return Network(data["model"], data["batch"], data["precision"], layers)


@dataclass(frozen=True)
class Networks:
    """The answer of a child: the networks, this machine's GPU if it has one, the versions of torch and Triton.

    `bundle` is a sentence on the kernels that were compiled beforehand for this GPU, or empty.
    """

    networks: list[Network]
    gpu: Gpu | None
    versions: dict[str, str]
    bundle: str


def layer_from_json(data: LayerData) -> Layer:
    """Return the layer of a JSON object, where a tuple is a list."""
    fields: Json = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return Layer(**fields)


def read_networks(
    models: Iterable[str],
    batches: Iterable[int],
    precisions: Iterable[str],
    image: int = 224,
    what: str = "the networks",
) -> Networks:
    """Read every model at every batch and precision, for pictures of `image` pixels a side.

    Raises WorkError, whose message calls them `what`, where the child gives no answer.
    """
    answer = request(NetworksJob(list(models), list(batches), list(precisions), image), LIMIT_S)
    if answer.status != "ok":
        raise WorkError(f"{what} could not be read: {answer.status}: {answer.reason}")
    gpu = answer.data["gpu"]
    networks = [Network.from_json(network) for network in answer.data["networks"]]
    return Networks(networks, Gpu(**gpu) if gpu else None, answer.data["versions"], answer.data["bundle"])
