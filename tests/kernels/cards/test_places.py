"""Who writes a card's results and who looks for them name the same files."""

from pathlib import Path

import pytest

from kernels.cards import places


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("NVIDIA H200", "nvidia-h200"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-sxm4-80gb"),
        ("AMD EPYC, 2 cores", "amd-epyc-2-cores"),
    ],
)
def test_slug(name: str, slug: str) -> None:
    assert places.slug(name) == slug
    assert places.slug(slug) == slug


def test_a_name_that_names_no_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no letter or digit"):
        places.slug("…")


def test_the_files_of_a_card(tmp_path: Path) -> None:
    name = "NVIDIA H100 80GB HBM3"
    assert places.card_folder(name, tmp_path) == tmp_path / "nvidia-h100-80gb-hbm3"
    assert places.tuned_path(name, tmp_path) == tmp_path / "tuned" / "nvidia-h100-80gb-hbm3.json"
    assert places.constants_path(name, tmp_path) == tmp_path / "nvidia-h100-80gb-hbm3" / "constants.json"
    assert places.RESULTS.is_dir()
