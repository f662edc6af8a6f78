"""The least that a build must be (PEP 660), and the wheels that the tests need."""

import zipfile
from pathlib import Path


def build_editable(folder, config_settings=None, metadata_directory=None):
    return wheel(folder, "toy", "1", "Requires-Dist: torch")


def wheel(folder, name, version, metadata="", payload=b""):
    info = f"{name}-{version}.dist-info"
    file = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder, file), "w") as archive:
        archive.writestr(f"{name}.py", payload)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return file
