"""What each PyTorch operator allocates forward, keeps for backward, and allocates backward.

Every function mirrors one operator of torch as its CUDA kernels and ``derivatives.yaml`` have it.
Backward closures hold shapes and formats only, so that nothing lives longer than in torch.
"""

from memcalc.tensors.ops.attention import AttentionCall, attend, chosen_kernel, output_copies
from memcalc.tensors.ops.elementwise import (
    add,
    add_scalar,
    cat_halves,
    contiguous,
    dropout,
    gelu,
    mean_last,
    mul,
    neg,
    power,
    rsqrt,
    scale,
    silu,
    slice_last,
    tanh,
    to,
)
from memcalc.tensors.ops.loss import cross_entropy
from memcalc.tensors.ops.matmul import batched_product, conv1d, embedding, linear
from memcalc.tensors.ops.norm import layer_norm, softmax

__all__ = [
    "AttentionCall",
    "add",
    "add_scalar",
    "attend",
    "batched_product",
    "cat_halves",
    "chosen_kernel",
    "contiguous",
    "conv1d",
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "layer_norm",
    "linear",
    "mean_last",
    "mul",
    "neg",
    "output_copies",
    "power",
    "rsqrt",
    "scale",
    "silu",
    "slice_last",
    "softmax",
    "tanh",
    "to",
]
