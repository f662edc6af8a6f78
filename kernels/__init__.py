"""Home of the project's Triton kernels: a leaf that knows tensors, and neither ResNet nor benchmarks."""
