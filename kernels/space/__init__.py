"""What a layer is, how it may be cut, in what order that is worth trying: arithmetic without torch.

Nouns: `Layer`, `Config` (how a layer is cut), `Machine` (a GPU as the model sees it), and for each kind of layer a
space: its candidates, and the model's choice. It may import `kernels.cards`.
"""
