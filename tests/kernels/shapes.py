"""Layers of every kind of convolution, for tests."""

from kernels.space.config import Config
from kernels.space.layer import Layer

STEM = Layer(32, 224, 224, 3, 64, (7, 7), 2, 3)
MIDDLE = Layer(32, 56, 56, 64, 64, (3, 3), 1, 1)
LAST = Layer(32, 56, 56, 64, 256, (1, 1), residual=True)
FOLDED = Layer(32, 28, 28, 128, 512, (1, 1), second=(56, 56, 256, 2))
STRIDED = Layer(32, 28, 28, 256, 256, (3, 3), 2, 1)
LATE = Layer(1, 7, 7, 512, 512, (3, 3), 1, 1)
ACTIVATED = Layer(32, 56, 56, 256, 64, (1, 1), prologue=True)
LAYERS = (STEM, MIDDLE, LAST, FOLDED, STRIDED, LATE, ACTIVATED)
BULK = Config("tma", 128, 64, 64, 4, 3, (2, 8, 8))
