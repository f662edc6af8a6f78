"""Files that are no weights are told by what they are, and nothing that a file brings is ever run."""

import json
import os
import pickle
import re
import sys
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet.weights.files import read_contents

STATE = {"conv1.weight": torch.arange(2000.0).reshape(20, 100), "fc.weight": torch.ones(3)}


def save_torch(path: Path) -> None:
    torch.save({"state_dict": STATE}, path)


def save_old_torch(path: Path) -> None:
    torch.save({"state_dict": STATE}, path, _use_new_zipfile_serialization=False)


def save_safetensors(path: Path) -> None:
    pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save_file(STATE, path)


WRITERS = [save_torch, save_old_torch, save_safetensors]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def reason(path: Path) -> str:
    """What is said of a file that cannot be read; it has the file's name, and not where it is."""
    with pytest.raises(ValueError) as caught:
        read_contents(path)
    text = str(caught.value)
    assert text.startswith(f"{path.name} cannot be read: ")
    assert str(path.parent) not in text
    return text.partition(": ")[2]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", ["last.ckpt", "model.pth.tar", "MODEL.BIN", "a1b2c3d4"])
def test_the_content_says_how_to_read_a_file_whatever_its_name(
    write: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    contents = read_contents(tmp_path / name)
    assert equal(contents.get("state_dict", contents), STATE)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.98])
def test_a_truncated_file_is_cut_short(write: Callable[[Path], None], keep: float, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    write(path)
    os.truncate(path, int(path.stat().st_size * keep))
    assert "it is cut short" in reason(path)


def tar(*_: object) -> bytes:
    return b"weights.pth".ljust(257, b"\0") + b"ustar".ljust(255, b"\0")


OTHERS = {
    "empty": (b"", "it is empty (0 bytes)"),
    "hello": (b"hello", "it begins with b'hello'; weights are read from files of torch.save, safetensors and Keras"),
    "zeros": (bytes(4096), "it begins with zeros alone (4096 bytes)"),
    "page": (b"\n<!DOCTYPE html><html><head><title>Sign in</title>", "it is a web page, such as a login or an error"),
    "error": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "it is a web page"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a",
        "a pointer of Git LFS, .* run git lfs pull",
    ),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(9), "it is a gzip archive: unpack it first"),
    "tar": (tar(), "it is a tar archive: unpack it first"),
    "zip": (b"PK\x03\x04" + bytes(100), "it is cut short"),
    "json": (b'{"weights": [1, 2, 3], "bias": 2}', 'it begins with b\'{"weights": '),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "it is damaged or something else|needs h5py"),
}


@pytest.mark.parametrize(("content", "words"), OTHERS.values(), ids=OTHERS)
def test_another_file_is_told_by_what_it_is(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert re.search(words if "|" in words or ".*" in words else re.escape(words), reason(path))


def test_archives_of_other_things_are_told_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(nn.Linear(2, 2)).save(path)
    assert "it is a TorchScript archive, which is code: open it with torch.jit.load" in reason(path)
    np.savez(tmp_path / "weights.npz", a=np.ones(3))
    assert "it is a zip archive of a.npy, and not of torch.save" in reason(tmp_path / "weights.npz")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/models/model.json", "{}")
        archive.writestr("model/archive_format", "pt2")
    assert "it is an exported program (torch.export)" in reason(path)


class Runs:
    """A pickle of this runs a command when it is loaded as any pickle is."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(zipped: bool, tmp_path: Path) -> None:
    path, mark = tmp_path / "weights.pth", tmp_path / "mark"
    torch.save({"state_dict": STATE, "note": Runs(mark)}, path, _use_new_zipfile_serialization=zipped)
    text = reason(path)
    assert "to load it would run posix.mkdir" in text
    assert "save the weights alone: torch.save(model.state_dict(), FILE)" in text
    path.write_bytes(pickle.dumps({"note": Runs(mark)}))
    reason(path)
    assert not mark.exists()


def test_a_whole_module_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save(nn.Linear(2, 2), path)
    assert "to load it would run torch.nn.modules.linear.Linear, and code in a checkpoint is never run" in reason(path)


def test_plain_data_that_training_scripts_keep_beside_the_weights_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    beside = {"args": Namespace(lr=0.1, out=PosixPath("runs")), "best": np.float64(93.1), "when": np.int64(3)}
    torch.save({"model": STATE, **beside}, path)
    assert equal(read_contents(path)["model"], STATE)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_shards_are_read_by_their_index(name: str, tmp_path: Path) -> None:
    weight_map = {}
    for number, (key, value) in enumerate(STATE.items(), 1):
        stem, _, suffix = name.partition(".")
        shard = f"{stem}-{number:05}-of-00002.{suffix}"
        if suffix == "bin":
            torch.save({key: value}, tmp_path / shard)
        else:
            pytest.importorskip("safetensors.torch").save_file({key: value}, tmp_path / shard)
        weight_map[key] = shard
    index = tmp_path / f"{name}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert equal(read_contents(index), STATE)
    index.write_text(json.dumps({"weight_map": weight_map | {"bn1.weight": weight_map["fc.weight"]}}))
    assert "its shards lack bn1.weight" in reason(index)
    (tmp_path / weight_map["fc.weight"]).unlink()
    with pytest.raises(FileNotFoundError, match="00002-of-00002"):
        read_contents(index)


def test_h5_file_that_is_not_of_keras(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1, 2, 3]
    assert "neither the `layer_names`" in reason(tmp_path / "other.h5")


def test_missing_path_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        read_contents(tmp_path / "gone.pt")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(OSError, match=r"folder\.pt"):
        read_contents(tmp_path / "folder.pt")


@pytest.mark.parametrize(
    ("content", "module", "package"),
    [
        (b"\x02" + bytes(7) + b"{}", "safetensors.torch", "safetensors"),
        (b"\x89HDF\r\n\x1a\n", "h5py", "h5py"),
    ],
)
def test_missing_package(
    content: bytes, module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # what Python keeps for a module that cannot be imported
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        read_contents(path)
