"""A user's convolution judged on the layers of a network.

Nouns: `ConvLayer`, `Contest`. It may import `kernels.space`, `resnet`, `bench`, `bench.machine`, `bench.roofline`,
`bench.runs`.
"""
