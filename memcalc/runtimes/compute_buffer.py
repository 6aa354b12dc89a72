"""llama.cpp's compute buffer: the worst graph of ``n_ubatch`` tokens, every one with its logits.

Either the head is the highest place (fp32 logits of all tokens, and hidden states beside them), or a block is: without
flash attention the scores of all heads, with it the mask, in fp32 and once more in fp16 [llama.cpp
src/llama-context.cpp: graph_reserve; llama-graph.cpp: build_attn]. How many hidden states lie around depends on how
ggml's allocator packs the graph: published logs have 1 to 3 at the head and 4 to 6 in a block without flash attention;
2 and 5 are taken.
"""

from __future__ import annotations

from memcalc.architectures.spec import ModelSpec

FP32, FP16 = 4, 2
AT_HEAD, IN_BLOCK = 2, 5
"""Hidden states of all tokens that lie beside the logits, and beside the scores."""


def compute_buffer(spec: ModelSpec, cells: int, ubatch: int, flash: bool) -> int:
    """Bytes of the buffer on the card for ``cells`` of cache and ``ubatch`` tokens at once.

    >>> from memcalc.models import describe
    >>> round(compute_buffer(describe("Llama-3.1-8B").spec, 8192, 512, False) / 2**20)   # published: 560 MiB
    568
    """
    tokens = min(ubatch, cells)
    hidden = tokens * spec.hidden * FP32
    head = tokens * spec.vocab * FP32 + AT_HEAD * hidden
    masks = tokens * cells * FP32
    sliding = {one for one in spec.windows if one} if spec.windows and None in spec.windows else set()
    for window in sliding:
        masks += tokens * min(cells, window + ubatch) * FP32
    if flash:
        feed = 3 * tokens * spec.ffn * FP32
        attention = 3 * tokens * spec.heads * spec.head_dim * FP32
        block = masks + masks // FP32 * FP16 + 2 * hidden + max(feed, attention)
    else:
        block = spec.heads * cells * tokens * FP32 + masks + IN_BLOCK * hidden
    return max(head, block)


def host_buffer(spec: ModelSpec, cells: int, ubatch: int) -> int:
    """Bytes of the buffer on the host: the mask and the embedded tokens that are handed to the card.

    Published: 132.01 MiB (Qwen3-Coder-30B-A3B, 65,536 cells), 76.01 and 68.01 MiB (GLM-4-32B, Qwen3-30B-A3B,
    32,768)."""
    tokens = min(ubatch, cells)
    return tokens * (cells + spec.hidden) * FP32 + 4 * tokens * FP32
