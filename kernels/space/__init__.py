"""The shape of a layer, the configurations of its kernels, and a cost model that orders them: arithmetic without torch.

Nouns: `Layer`, `Config` (a kernel's tile sizes, warps and stages), `Machine` (a GPU in the cost model), and for each
kind of layer a search space: its candidates, and the model's choice. It may import `kernels.cards`.
"""
