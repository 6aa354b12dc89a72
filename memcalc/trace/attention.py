"""Which attention kernel torch 2.13 takes on CUDA, and how it is called.

Order: flash, memory-efficient, math (aten/src/ATen/native/transformers/cuda/sdp_utils.cpp). A scenario's
``attention`` names where in that order to begin; a kernel that cannot run yields to the next one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

ORDER = ("flash", "efficient", "math")
MAX_FLASH_HEAD = 256
"""Largest head size of the flash kernels, elements."""

aten = torch.ops.aten


def _can_flash(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, causal: bool) -> bool:
    return (
        q.dtype in (torch.float16, torch.bfloat16)
        and mask is None
        and q.dim() == 4
        and q.shape[-1] == k.shape[-1] == v.shape[-1] <= MAX_FLASH_HEAD
        and k.shape[1] == v.shape[1]
        and q.shape[1] % k.shape[1] == 0
        # sdp_utils.cpp check_flash_causal_non_square_seqlens: its causal mask is aligned to the lower right.
        and not (causal and q.shape[2] != k.shape[2])
    )


def _can_efficient(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> bool:
    # check_head_dim_size_mem_efficient: rows must be multiples of 16 bytes.
    alignment = 16 // q.element_size()
    return (
        q.dtype in (torch.float32, torch.float16, torch.bfloat16)
        and q.dim() == 4
        # 2.13 has no grouped queries here (check_batch_size_and_num_heads_dense).
        and q.shape[1] == k.shape[1] == v.shape[1]
        and q.shape[-1] == k.shape[-1]
        and q.shape[-1] % alignment == 0
        and v.shape[-1] % alignment == 0
        and not (mask is not None and mask.requires_grad and mask.dim() != 4)
    )


def kernel_for(
    wish: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, causal: bool
) -> str:
    """The kernel that runs for these operands when ``wish`` (flash, efficient or math) is the first choice."""
    candidates = ORDER[ORDER.index(wish) :]
    if "flash" in candidates and _can_flash(q, k, v, mask, causal):
        return "flash"
    if "efficient" in candidates and _can_efficient(q, k, v, mask):
        return "efficient"
    return "math"


def _padded(x: torch.Tensor, multiple: int) -> torch.Tensor:
    rest = x.shape[-1] % multiple
    return x if rest == 0 else aten.constant_pad_nd(x, [0, multiple - rest])


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A boolean mask as the additive one the kernels take (sdp_utils.cpp convert_boolean_attn_mask)."""
    if mask.dtype != torch.bool:
        return mask
    minus_infinity = aten.scalar_tensor(float("-inf"), dtype=dtype, device=mask.device)
    return aten.where.ScalarSelf(mask, 0.0, minus_infinity)


def _aligned_mask(mask: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """The mask as the memory-efficient kernel wants it: rows of a multiple of 8, one a head (preprocess_mask)."""
    strides_fit = all(mask.stride(i) % 8 == 0 for i in range(mask.dim() - 1)) and mask.stride(-1) == 1
    if not strides_fit:
        wide = aten.constant_pad_nd(mask, [0, 8 - mask.shape[-1] % 8])
        mask = wide[..., : mask.shape[-1]]
    return mask.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])


def attention_rule(wish: str, chosen: dict[str, int]) -> Callable[..., torch.Tensor]:
    """``scaled_dot_product_attention`` as CUDA has it. ``chosen`` counts the kernels that were taken."""

    def attend(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        kernel = kernel_for(wish, query, key, value, attn_mask, is_causal)
        chosen[kernel] = chosen.get(kernel, 0) + 1
        if kernel == "math":
            mask = None if attn_mask is None else _additive(attn_mask, query.dtype)
            return aten._scaled_dot_product_attention_math(
                query, key, value, mask, dropout_p, is_causal, None, scale=scale, enable_gqa=enable_gqa
            )[0]
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        if kernel == "flash":
            # The kernel wants head sizes that are multiples of 8; the padding is sliced off again.
            out = aten._scaled_dot_product_flash_attention(
                _padded(query, 8), _padded(key, 8), _padded(value, 8), dropout_p, is_causal, False, scale=scale
            )[0]
            return out if query.shape[-1] % 8 == 0 else out[..., : query.shape[-1]]
        mask = None if attn_mask is None else _aligned_mask(_additive(attn_mask, query.dtype), query, key)
        needs_lse = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
        return aten._scaled_dot_product_efficient_attention(
            query, key, value, mask, needs_lse, dropout_p, is_causal, scale=scale
        )[0]

    return attend
