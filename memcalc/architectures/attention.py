"""transformers' attention interface: eager in Python, or torch's scaled_dot_product_attention.

Mirrors integrations/sdpa_attention.py and the models' ``eager_attention_forward``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.autograd import checkpointed
from memcalc.tensors.ops.attention import attend_eager, repeat_kv
from memcalc.tensors.tensor import Tensor

Core = Callable[[], tuple[Tensor, list[Tensor | None]]]
"""An attention core: its result, and what lives beside it (the weights first)."""


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    run: Run,
    p: float,
    softmax: Format | None,
    softcap: bool = False,
    by_head: bool = False,
    narrow: bool = True,
    dense: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of query (batch, heads, length, d) over key and value (batch, kv_heads, keys, d), dropout ``p``.

    ``softmax``: the format in which eager attention takes its softmax (None: that of the scores); ``softcap``:
    whether it squashes its scores (the fused kernels cannot); ``by_head``: query and key lie in memory head by head,
    not token by token; ``narrow``: eager attention casts its weights back to the query's format; ``dense``: key and
    value do so too, as when they come out of a cache. Returns the result
    (batch, length, heads·d) and, from eager attention, the weights that the caller holds on to.
    """
    inputs = [one for one in (query, key, value, mask) if one is not None]

    def core() -> tuple[Tensor, list[Tensor | None]]:
        out, weights = _core(query, key, value, mask, run, p, softmax, softcap, by_head, narrow, dense)
        return out, [weights]

    out, held = recomputed(run, inputs, core)
    return out, held.pop()


def _core(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    run: Run,
    p: float,
    softmax: Format | None,
    softcap: bool,
    by_head: bool,
    narrow: bool,
    dense: bool,
) -> tuple[Tensor, Tensor | None]:
    dense = dense or run.cache is not None
    if run.eager:
        return attend_eager(query, key, value, mask, p, softmax, softcap, by_head, dense, narrow)
    batch, heads, length, d = query.shape
    kv_heads = key.shape[1]
    grouped = kv_heads != heads
    if grouped and mask is not None:
        # Grouped queries are asked for only without a mask; a single query is folded into the key heads.
        if query.tape.one_token:
            query = query.view(batch, kv_heads, heads // kv_heads, d)
        else:
            key, value = repeat_kv(key, heads), repeat_kv(value, heads)
        # A single head seen by all becomes dense only where it is cast.
        grouped, dense = False, kv_heads > 1 or query.format.is_half or query.tape.autocast is not None
    out = ops.attend(query, key, value, mask, grouped, run.attention, p, dense, by_head)
    kernel = ops.chosen_kernel(out.format, d, grouped, mask is not None, run.attention, value.shape[-1])
    copies = ops.output_copies(kernel, d, out.tape.reorders(heads), by_head)
    return ops.contiguous(out, copies, (batch, length, heads * value.shape[-1])), None


def recomputed(run: Run, inputs: Sequence[Tensor], core: Core) -> tuple[Tensor, list[Tensor | None]]:
    """``core()``, from ``inputs`` (queries, keys, values, masks) to the attention's result and what else the caller
    holds, the weights first. With selective recomputation only the inputs are kept, and it is computed again in
    backward [Korthikanti et al. 2022, arXiv 2205.05198, section 5; here torch.utils.checkpoint around it]."""
    tape = inputs[0].tape
    if not run.recompute_attention or tape.saving is not None:
        return core()
    held: list[Tensor | None] = []

    def first() -> Tensor:
        out, others = core()
        held[:] = others[:1]
        return out

    return checkpointed(tape, first, inputs), held
