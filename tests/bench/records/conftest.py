"""Each file of tests here has a cache folder of its own: what one test indexed, no other file finds."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def a_cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
