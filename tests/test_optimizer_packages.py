"""Optimizers of other packages: what they keep after two steps of a small real model on the CPU, byte for byte.

Skipped where a package is missing; the sizes by hand are in ``test_training_settings.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from memcalc.formats import Format
from memcalc.tensors.tape import rounded
from memcalc.tensors.tensor import Parameter
from memcalc.training.optimizers import step_memory

torch = pytest.importorskip("torch")

HIDDEN, HEADS = 128, 4
SHAPES: dict[str, tuple[int, ...]] = {
    # as model code calls them, and as memcalc does
    "model.embed_tokens.weight": (1000, HIDDEN),
    "model.layers.0.self_attn.q_proj.weight": (HIDDEN, HIDDEN),
    "model.layers.0.self_attn.q_proj.bias": (HIDDEN,),
    "model.layers.0.self_attn.k_proj.weight": (HIDDEN // 2, HIDDEN),
    "model.layers.0.self_attn.v_proj.weight": (HIDDEN // 2, HIDDEN),
    "model.layers.0.self_attn.o_proj.weight": (HIDDEN, HIDDEN),
    "model.layers.0.mlp.up_proj.weight": (300, HIDDEN),
    "model.layers.0.mlp.down_proj.weight": (HIDDEN, 300),
    "model.layers.0.input_layernorm.weight": (HIDDEN,),
    "lm_head.weight": (1000, HIDDEN),
}


def _ours(name: str) -> str:
    return name.replace("model.layers.0.", "block 1.").replace("model.embed_tokens", "embedding")


def expected(optimizer: str, impl: str = "for-loop", dtype: Format = Format.FP32, **options: Any) -> int:
    trained = [Parameter(_ours(name), shape, dtype) for name, shape in SHAPES.items()]
    return step_memory(optimizer, impl, trained, options).state_bytes


def parameters(dtype: Any = None) -> dict[str, Any]:
    torch.manual_seed(0)
    return {name: torch.nn.Parameter(torch.randn(shape).to(dtype or torch.float32)) for name, shape in SHAPES.items()}


def kept(optimizer: Any, named: dict[str, Any], steps: int = 2) -> int:
    """Bytes of the distinct storages in the states after ``steps`` steps, each rounded as on a GPU."""
    for _ in range(steps):
        for one in named.values():
            one.grad = torch.randn_like(one)
        optimizer.step()
    return stored(optimizer)


def stored(optimizer: Any) -> int:
    found: dict[int, int] = {}

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found[value.untyped_storage().data_ptr()] = rounded(value.untyped_storage().nbytes())
        elif isinstance(value, list | tuple):
            for one in value:
                add(one)
        elif hasattr(value, "ortho_matrix"):
            add(value.ortho_matrix)

    for state in optimizer.state.values():
        for key, value in state.items():
            if key != "step":  # on the host where it is a tensor
                add(value)
    return sum(found.values())


def low_rank(named: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    inside = [one for name, one in named.items() if "layers" in name and one.dim() == 2]
    rest = [one for one in named.values() if not any(one is other for other in inside)]
    return [
        {"params": rest},
        {"params": inside, "rank": 16, "update_proj_gap": 200, "scale": 1, "proj_type": "std", **more},
    ]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_galore(dtype: str) -> None:
    package = pytest.importorskip("galore_torch.adamw")
    named = parameters(getattr(torch, dtype))
    optimizer = package.AdamW(low_rank(named), no_deprecation_warning=True)
    assert kept(optimizer, named) == expected("galore", dtype=_format(dtype), rank=16)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_apollo(dtype: str) -> None:
    package = pytest.importorskip("apollo_torch")
    named = parameters(getattr(torch, dtype))
    optimizer = package.APOLLOAdamW(low_rank(named, proj="random", scale_type="channel"))
    assert kept(optimizer, named) == expected("apollo", dtype=_format(dtype), rank=16)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adam_mini(dtype: str) -> None:
    package = pytest.importorskip("adam_mini")
    named = parameters(getattr(torch, dtype))
    optimizer = package.Adam_mini(named.items(), dim=HIDDEN, n_heads=HEADS, n_kv_heads=HEADS // 2, verbose=False)
    found = expected("adam-mini", dtype=_format(dtype), head_values=HIDDEN * HIDDEN // HEADS)
    assert kept(optimizer, named) == found


@pytest.mark.parametrize("impl", ["foreach", "for-loop"])
@pytest.mark.parametrize(("name", "kind"), [("Lion", "lion"), ("Lamb", "lamb")])
def test_pytorch_optimizer(name: str, kind: str, impl: str) -> None:
    package = pytest.importorskip("pytorch_optimizer")
    named = parameters()
    optimizer = getattr(package, name)(named.values(), lr=1e-4, foreach=impl == "foreach")
    assert kept(optimizer, named) == expected(kind, impl)


@pytest.mark.parametrize(
    ("name", "kind"), [("AdamW8bit", "adamw-8bit"), ("Lion8bit", "lion-8bit"), ("PagedAdamW32bit", "paged-adamw-32bit")]
)
def test_bitsandbytes(name: str, kind: str) -> None:
    """The states as they are made; its kernels need not run. No tensor here reaches the size from which a paged one
    lies in managed memory, but for the tables, which are left out there."""
    package = pytest.importorskip("bitsandbytes")
    named = parameters()
    if kind.startswith("paged"):
        named = {name: one for name, one in named.items() if one.numel() < 100_000}
    optimizer = getattr(package.optim, name)(list(named.values()), lr=1e-4)
    for number, one in enumerate(named.values()):
        one.grad = torch.randn_like(one)
        optimizer.init_state(optimizer.param_groups[0], one, 0, number)
    trained = [Parameter(_ours(name), tuple(one.shape), Format.FP32) for name, one in named.items()]
    assert stored(optimizer) == step_memory(kind, "fused", trained, {}).state_bytes


@pytest.mark.parametrize("beta1", [None, 0.9])
def test_transformers_adafactor(beta1: float | None) -> None:
    package = pytest.importorskip("transformers.optimization")
    named = parameters()
    optimizer = package.Adafactor(named.values(), lr=1e-4, scale_parameter=False, relative_step=False, beta1=beta1)
    options = {} if beta1 is None else {"beta1": beta1}
    assert kept(optimizer, named) == expected("adafactor-hf", **options)


def _format(dtype: str) -> Format:
    return Format.FP32 if dtype == "float32" else Format.BF16
