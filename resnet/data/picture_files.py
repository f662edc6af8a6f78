"""The pictures of a user's folder: which files they are, and each as RGB. Without torch: the parent judges them too."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
JUDGED = 1000  # files of a folder whose headers are read before anything is run
END, TAIL = b"\xff\xd9", 64  # of a whole JPEG, within its last bytes
RECIPE = 2  # raise it where a file gives other pixels than before


def files_in(word: str) -> tuple[tuple[Path, ...], str]:
    """Return the pictures of a folder, and a sentence that names what was passed over, or "".

    Hidden files are no pictures: macOS leaves ._a.jpg beside a.jpg. Raises ValueError for a folder without any picture,
    and where Pillow is missing.
    """
    folder = Path(os.path.expanduser(word))
    if not folder.is_dir():
        raise ValueError("neither photos, noise, nor a folder")
    named = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    hidden = [file for file in named if any(part.startswith(".") for part in file.relative_to(folder).parts)]
    files = tuple(file for file in named if file not in set(hidden))
    if not files:
        raise ValueError(f"the folder holds no picture ({', '.join(SUFFIXES)})")
    require_pillow()
    more = f" and {len(hidden) - 1} more" if len(hidden) > 1 else ""
    first = hidden[0].name.encode(errors="replace").decode() if hidden else ""  # a name may be no text
    return files, f"passed over {first}{more}, hidden and so no pictures" if hidden else ""


def require_pillow() -> None:
    """Raise ValueError where Pillow is missing, which is not imported."""
    if find_spec("PIL") is None:
        raise ValueError("reading pictures needs Pillow: pip install pillow")


def judge_files(word: str) -> str:
    """Read the headers of a folder's pictures, and return what was passed over, as `files_in`. Raises ValueError."""
    files, passed_over = files_in(word)
    for file in files[:JUDGED]:
        read_picture(file, header=True)
    return passed_over


def read_picture(path: Path, header: bool = False) -> Any:
    """Return a picture as RGB of 8 bits, its first frame, what is transparent on white; by its `header` only judge it.

    A JPEG that has not its end is judged whole, other formats as Pillow verifies them: a PNG by its sums. Raises
    ValueError, which names the file, for one that is damaged, or whose values have no known range.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.mode == "F" or (picture.mode == "I" and picture.format not in ("PNG", "PPM")):
                raise ValueError(f"the range of its values ({picture.mode}) is not known; save it with 8 bits")
            if not header or (picture.format == "JPEG" and not _ends(picture.fp)):
                return _as_rgb(picture)
            picture.verify()
            return picture
    except Exception as error:  # Pillow raises a dozen types for a damaged file
        reason = str(error).replace(f" {str(path)!r}", "")
        raise ValueError(f"{path.name} cannot be read as a picture: {reason}") from error


def _ends(file: Any) -> bool:
    file.seek(-TAIL, os.SEEK_END)
    return END in file.read()


def _as_rgb(picture: Any) -> Any:
    import numpy as np
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")
