import pytest


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""
