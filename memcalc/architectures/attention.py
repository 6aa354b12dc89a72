"""transformers' attention interface: eager in Python, or torch's scaled_dot_product_attention.

Mirrors integrations/sdpa_attention.py and the models' ``eager_attention_forward``.
"""

from __future__ import annotations

from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.attention import attend_eager, repeat_kv
from memcalc.tensors.tensor import Tensor


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, run: Run, p: float, softmax: Format | None
) -> tuple[Tensor, Tensor | None]:
    """Attention of query (batch, heads, length, d) over key and value (batch, kv_heads, keys, d), dropout ``p``.

    ``softmax``: the format in which eager attention takes its softmax (None: that of the scores). Returns the
    result (batch, length, heads·d) and, from eager attention, the weights that the caller holds on to.
    """
    if run.eager:
        return attend_eager(query, key, value, mask, p, softmax)
    batch, heads, length, d = query.shape
    kv_heads = key.shape[1]
    grouped = kv_heads != heads
    dense = run.cache is not None
    if grouped and mask is not None:
        # Grouped queries are asked for only without a mask; a single query is folded into the key heads.
        if query.tape.one_token:
            query = query.view(batch, kv_heads, heads // kv_heads, d)
        else:
            key, value = repeat_kv(key, heads), repeat_kv(value, heads)
        grouped, dense = False, True
    out = ops.attend(query, key, value, mask, grouped, run.attention, p, dense)
    kernel = ops.chosen_kernel(out.format, d, grouped, mask is not None, run.attention)
    copies = ops.output_copies(kernel, d, out.tape.one_token)
    return ops.contiguous(out, copies, (batch, length, heads * d)), None
