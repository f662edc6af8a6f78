"""The content of a file of weights, as it is written there; it says how to read it, whatever the file's name is.

A pickle is read without running anything that it brings (`torch.load(weights_only=True)`): one that would is refused.
"""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from resnet.weight_files import INDEX, shards
from resnet.weights import keras_layout

FORMATS = (
    "weights are read from files of torch.save, safetensors and Keras, and from an index of shards of the first two"
)
SAVE_WEIGHTS = "save the weights alone: torch.save(model.state_dict(), FILE)"
CUT = "it is cut short, as a download or a copy that did not finish is: get it again"
HEAD = 512  # bytes at the start of a file that tell its kind


class Inert:
    """Stands for an object beside the weights that is no tensor: it takes what it is given, and does nothing."""

    def __init__(self, *_arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


# Classes that training scripts keep beside the weights, which a pickle may name: plain data, none of it is made.
_HARMLESS: tuple[Any, ...] = (
    (Inert, "argparse.Namespace"),
    *((Inert, f"pathlib.{name}") for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")),
    *((Inert, f"numpy.{name}") for name in ("core.multiarray.scalar", "_core.multiarray.scalar", "dtype")),
    *((dict, f"{home}.utilities.parsing.AttributeDict") for home in ("pytorch_lightning", "lightning")),
    *((dict, f"{home}.utilities.data.AttributeDict") for home in ("lightning_fabric", "lightning.fabric")),
)


def read_contents(path: Path) -> Any:
    """Return what the file at `path` holds: as a rule tensors by name, in mappings of mappings.

    Raises ValueError with a sentence for a file that is damaged, or is something else; ImportError with the pip line
    where a package is missing that reads it; OSError for a path that cannot be opened.
    """
    if path.name.endswith(INDEX):
        return _read_shards(path)
    with path.open("rb") as file:  # a missing path, a folder or a forbidden file is an OSError, with its name
        head, size = file.read(HEAD), path.stat().st_size
    read = _reader_of(path, head, size)
    try:
        return read(path)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ImportError(f"{path.name}: needs {package}, which is not installed: pip install {package}") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes the parsers fail in any way there is: KeyError, struct.error, ...
        if isinstance(error, OSError) and error.errno:  # the system's, and not a parser's
            raise
        raise ValueError(f"{path.name} cannot be read: {_reason(error)}") from error


def _reader_of(path: Path, head: bytes, size: int) -> Callable[[Path], Any]:
    """Return the function that reads a file which begins with `head`. Raises ValueError for one of no weights."""
    if head.startswith(b"PK\x03\x04"):
        return _zip_reader(path)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return lambda path: keras_layout.to_state_dict(keras_layout.read_file(path))
    if head[:1] == b"\x80":
        return _read_torch
    if len(head) > 8 and head[8:9] == b"{" and not head[:1].isspace():
        _check_length(path, head, size)
        return _read_safetensors
    raise ValueError(f"{path.name} cannot be read: {_kind(head, size)}")


def _kind(head: bytes, size: int) -> str:
    """Describe a file that begins like no file of weights."""
    start = head.lstrip().lower()
    if not head:
        return "it is empty (0 bytes)"
    if not head.strip(b"\0"):
        return f"it begins with zeros alone ({size} bytes): a download or a copy that was allotted and not written"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, such as a login or an error, and not the file that was to be downloaded"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, and not the file itself: run git lfs pull"
    known = {b"\x1f\x8b": "a gzip archive", b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive"}
    known |= {b"7z\xbc\xaf": "a 7z archive", b"(\xb5/\xfd": "a zstd archive"}
    for magic, name in known.items():
        if head.startswith(magic):
            return f"it is {name}: unpack it first"
    if head[257:262] == b"ustar":
        return "it is a tar archive: unpack it first"
    if head.startswith(b"GGUF"):
        return f"it is of llama.cpp (GGUF); {FORMATS}"
    if head[8:9] == b"{":
        return CUT
    if head[:1] == b"\x08" and (b"pytorch" in head or b"onnx" in head):
        return f"it is an ONNX model; {FORMATS}"
    return f"it begins with {head[:16]!r}; {FORMATS}"


def _zip_reader(path: Path) -> Callable[[Path], Any]:
    """Return the function that reads a zip archive. Raises ValueError for one that holds no weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        raise ValueError(f"{path.name} cannot be read: {CUT}") from None
    inner = {name.partition("/")[2] for name in names}  # torch puts all of it into one folder
    if "model.weights.h5" in names:
        return lambda path: keras_layout.to_state_dict(keras_layout.read_file(path))
    if "constants.pkl" in inner and "data.pkl" in inner:
        kind = f"it is a TorchScript archive, which is code: open it with torch.jit.load, and {SAVE_WEIGHTS}"
    elif "data.pkl" in inner:
        return _read_torch
    elif any(name.startswith("models/") for name in inner | set(names)) or "archive_format" in inner:
        kind = f"it is an exported program (torch.export), which is code: {SAVE_WEIGHTS}"
    else:
        kind = f"it is a zip archive of {', '.join(names[:3]) or 'nothing'}, and not of torch.save; {FORMATS}"
    raise ValueError(f"{path.name} cannot be read: {kind}")


def _read_torch(path: Path) -> Any:
    with torch.serialization.safe_globals(list(_HARMLESS)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse invariant checks")  # torch 2.11; sparse weights are refused
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_length(path: Path, head: bytes, size: int) -> None:
    """Raise ValueError for a safetensors file that is shorter than its own header says."""
    (header,) = struct.unpack("<Q", head[:8])
    if header > 1 << 40:
        raise ValueError(f"{path.name} cannot be read: {_kind(b' ' * 9, size)}")
    with path.open("rb") as file:
        file.seek(8)
        ends = re.findall(rb'"data_offsets":\s*\[\d+,\s*(\d+)\]', file.read(header))
    if size < 8 + header + max(map(int, ends), default=0):
        raise ValueError(f"{path.name} cannot be read: {CUT}")


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _read_shards(index: Path) -> dict[str, Any]:
    """Return the tensors of all shards of an index. Raises ValueError for a key that is not where the index has it."""
    files = shards(index)
    state: dict[str, Any] = {}
    for path in dict.fromkeys(files.values()):
        state |= read_contents(path)
    missing = [key for key in files if key not in state]
    if missing:
        raise ValueError(f"{index.name} cannot be read: its shards lack {missing[0]}, and {len(missing)} keys in all")
    return state


def _reason(error: Exception) -> str:
    if type(error) is ValueError:  # raised here, with a sentence
        return str(error)
    text = str(error)
    if match := re.search(r"GLOBAL (\S+)|reduce for unrecognized function (.*)|but got (<class.*>)", text):
        # torch's text advises to run whatever code the file brings
        wanted = match[1] or match[2] or match[3]
        return f"to load it would run {wanted}, and code in a checkpoint is never run: {SAVE_WEIGHTS}"
    if re.search("central directory|unexpected EOF|truncated file", text) or isinstance(error, EOFError):
        return CUT
    first_line = text.strip().partition("\n")[0]
    return f"it is damaged or something else ({type(error).__name__}: {first_line[:120]})"
