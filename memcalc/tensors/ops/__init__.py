"""What each PyTorch operator allocates forward, keeps for backward, and allocates backward.

Every function mirrors one operator of torch as its CUDA kernels and ``derivatives.yaml`` have it.
Backward closures hold shapes and formats only, so that nothing lives longer than in torch.
"""

from memcalc.tensors.ops.attention import AttentionCall, attend, chosen_kernel, output_copies
from memcalc.tensors.ops.elementwise import (
    add,
    add_scalar,
    cat_halves,
    chunk_last,
    contiguous,
    div,
    dropout,
    first_token,
    gelu,
    mean_last,
    mul,
    neg,
    power,
    relu,
    rsqrt,
    scale,
    sigmoid,
    silu,
    slice_last,
    split_last,
    sqrt,
    std_last,
    sub,
    tanh,
    to,
)
from memcalc.tensors.ops.fused import fused_linear_cross_entropy, fused_rms_norm, fused_rotary, fused_swiglu
from memcalc.tensors.ops.loss import cross_entropy
from memcalc.tensors.ops.matmul import batched_product, conv1d, embedding, linear
from memcalc.tensors.ops.norm import layer_norm, softmax
from memcalc.tensors.ops.quantised import linear_quantised

__all__ = [
    "AttentionCall",
    "add",
    "add_scalar",
    "attend",
    "batched_product",
    "cat_halves",
    "chosen_kernel",
    "chunk_last",
    "contiguous",
    "conv1d",
    "cross_entropy",
    "div",
    "dropout",
    "embedding",
    "first_token",
    "fused_linear_cross_entropy",
    "fused_rms_norm",
    "fused_rotary",
    "fused_swiglu",
    "gelu",
    "layer_norm",
    "linear",
    "linear_quantised",
    "mean_last",
    "mul",
    "neg",
    "output_copies",
    "power",
    "relu",
    "rsqrt",
    "scale",
    "sigmoid",
    "silu",
    "slice_last",
    "softmax",
    "split_last",
    "sqrt",
    "std_last",
    "sub",
    "tanh",
    "to",
]
