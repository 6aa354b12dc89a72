"""bitsandbytes' 4-bit layers on the fake GPU: what its CUDA kernels allocate, and a model made of such layers.

bitsandbytes registers its operators with torch, their fake versions included, but those only make the result. What the
CUDA version makes besides is put back here, read in backends/cuda/ops.py of bitsandbytes 0.50.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from memcalc.errors import ModelError

BLOCK = 64
"""Values that share one absmax."""
NESTED_BLOCK = 256
"""absmax values that share one absmax of their own."""
FUSED_ROWS = 4
"""Up to this many rows of input the fused kernel is taken on every card (``_GEMM_4BIT_CUSTOM_FLOOR_M``); above, it
depends on the card and the sizes, and large matrices are dequantised."""


def library() -> Any:
    """The package bitsandbytes."""
    try:
        import bitsandbytes
    except ImportError as error:
        raise ModelError("tracing QLoRA needs the package bitsandbytes", "training.method") from error
    return bitsandbytes


def quantised(model: torch.nn.Module, kind: str, compute: torch.dtype, train: bool) -> torch.nn.Module:
    """``model`` with its linear layers (the head's apart) in ``kind`` ("nf4-dq"), as transformers' quantiser leaves it,
    and to ``train`` it the rest in fp32, as PEFT's preparation does. Transformers 5.23 passes over linear layers of a
    class of their own (Falcon's); earlier versions quantise them, and so does this. A classifier that is to be trained
    is left out, as ``llm_int8_skip_modules`` does: PEFT fails otherwise."""
    from transformers.pytorch_utils import Conv1D

    bnb = library()
    name, _, nested = kind.partition("-")
    head = model.get_output_embeddings()
    for path, layer in list(model.named_modules()):
        if layer is head or not isinstance(layer, torch.nn.Linear | Conv1D):
            continue
        if train and (path.endswith("classifier") or path.startswith("classifier.")):
            continue
        turned = isinstance(layer, Conv1D)
        outputs, inputs = layer.weight.shape[::-1] if turned else layer.weight.shape
        with layer.weight.device:
            made = bnb.nn.Linear4bit(inputs, outputs, layer.bias is not None, compute, bool(nested), name, torch.uint8)
        made.weight = _packed(bnb, made, inputs, outputs, name, bool(nested), layer.weight)
        made.bias = layer.bias
        made.source_cls = type(layer)
        model.set_submodule(path, made)
    model.is_loaded_in_4bit = True
    if not train:
        return model
    import peft

    prepared: torch.nn.Module = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    for layer in prepared.modules():
        if isinstance(layer, bnb.nn.Linear4bit) and layer.bias is not None:
            layer.bias.data = layer.bias.data.to(compute)  # as its first forward pass leaves it
    return prepared


def _packed(bnb: Any, layer: Any, inputs: int, outputs: int, kind: str, nested: bool, weight: torch.Tensor) -> Any:
    """The weight as quantize_4bit leaves it."""
    state, count = bnb.functional.QuantState, inputs * outputs
    blocks = -(-count // BLOCK)
    with weight.device:
        absmax = torch.empty(blocks, dtype=torch.uint8 if nested else torch.float32)
        inner = None
        if nested:
            inner = state(
                absmax=torch.empty(-(-blocks // NESTED_BLOCK)), code=torch.empty(256), blocksize=NESTED_BLOCK,
                dtype=torch.float32,
            )  # fmt: skip
        whole = state(
            absmax=absmax, shape=torch.Size((outputs, inputs)), code=torch.empty(16), blocksize=BLOCK, quant_type=kind,
            dtype=weight.dtype, offset=torch.empty(()) if nested else None, state2=inner,
        )  # fmt: skip
        data = torch.empty((count + 1) // 2, 1, dtype=torch.uint8)
    return bnb.nn.Params4bit(
        data, requires_grad=False, quant_state=whole, blocksize=BLOCK, compress_statistics=nested, quant_type=kind,
        quant_storage=torch.uint8, module=layer, bnb_quantized=True,
    )  # fmt: skip


def states(model: torch.nn.Module) -> list[torch.Tensor]:
    """The tensors beside the packed weights."""
    found: list[torch.Tensor] = []
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        if state is None:
            continue
        found += [state.absmax, state.code]
        if state.nested:
            found += [state.offset, state.state2.absmax, state.state2.code]
    return found


def count(parameter: torch.nn.Parameter) -> int:
    """Values of a parameter; of a packed one, those that it stands for."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def _product(
    A: torch.Tensor,
    B: torch.Tensor,
    shapeB: Sequence[int],
    absmax: torch.Tensor,
    blocksize: int,
    quant_type: str,
    bias: torch.Tensor | None = None,
    absmax_8bit: torch.Tensor | None = None,
    absmax_code: torch.Tensor | None = None,
    absmax_offset: torch.Tensor | None = None,
) -> torch.Tensor:
    """``bitsandbytes::gemm_4bit`` on CUDA (parameters named as there): the fused kernel, or the plain product with
    the dequantised weight (_dequant_linear_fallback)."""
    inputs = A.shape[-1]
    if A.numel() <= FUSED_ROWS * inputs and inputs % blocksize == 0:
        return torch.empty((*A.shape[:-1], shapeB[0]), dtype=A.dtype, device=A.device)
    if absmax_8bit is not None:
        assert absmax_offset is not None
        plain = torch.empty_like(absmax_8bit, dtype=torch.float32)
        shifted = plain + absmax_offset  # noqa: F841  lives until the end
    whole = torch.empty(tuple(shapeB), dtype=A.dtype, device=A.device)  # noqa: F841
    # The product itself, without its name: selective checkpointing sees one operator here, not one of those it keeps.
    return torch.empty((*A.shape[:-1], shapeB[0]), dtype=A.dtype, device=A.device)


@contextlib.contextmanager
def kernels() -> Iterator[None]:
    """CUDA's version of the operators for the fake GPU while entered."""
    library()
    found = torch.library.Library("bitsandbytes", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.impl("gemm_4bit", _product, "AutogradMeta", allow_override=True)
        yield
    finally:
        found._destroy()
