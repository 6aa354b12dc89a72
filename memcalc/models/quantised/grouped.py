"""Integers in groups: GPTQ, AWQ, AutoRound, HQQ, torchao, and ExLlama's formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from memcalc.models.quantised.entry import Entry, Unknown, listed
from memcalc.models.reader import shown
from memcalc.quantisation.modules import Modules, modules
from memcalc.quantisation.published import Published

ORDER = "the order of activations (desc_act) is in g_idx, which every GPTQ file holds: no bytes more"


def gptq(entry: Entry) -> Published:
    """``bits``, ``group_size``; ``lm_head``: the head too; ``modules_in_block_to_quantize``: only those; ``dynamic``
    (GPTQModel): rules by name, of which those that leave modules out (``-:pattern``) are understood [transformers 5.23
    utils/quantization_config.py: GPTQConfig; GPTQModel QuantizeConfig.dynamic]."""
    bits, group = entry.whole("bits"), entry.whole("group_size", default=128)
    only = _inside(entry.raw.get("modules_in_block_to_quantize"))
    kept = modules([*entry.modules("modules_to_not_convert").entries, *_left_out(entry.raw.get("dynamic"))])
    notes = (ORDER,) if entry.raw.get("desc_act") is True else ()
    return entry.found(
        f"gptq-{bits}bit-g{group}", kept=kept, only=only, head=entry.flag("lm_head"), notes=notes
    )  # fmt: skip


def _inside(raw: Any) -> Modules | None:
    """``[["self_attn.q_proj", …], ["mlp.down_proj"]]``: the linear layers of a block that are quantised."""
    if not raw:
        return None
    if not isinstance(raw, list):
        raise Unknown(f"modules_in_block_to_quantize must be a list, not {shown(raw)}")
    return modules(
        name
        for one in raw
        for name in listed(one if isinstance(one, list) else [one], "modules_in_block_to_quantize")
    )  # fmt: skip


def _left_out(raw: Any) -> list[str]:
    if not raw:
        return []
    if not isinstance(raw, Mapping) or any(not one.startswith("-:") for one in raw):
        raise Unknown("dynamic gives some modules other bits than the rest")
    return [f"re:{one.removeprefix('-:')}" for one in raw]


def awq(entry: Entry) -> Published:
    """``bits`` and ``group_size`` (AutoAWQ's own files: ``w_bit``, ``q_group_size``), ``modules_to_not_convert``; zero
    points are stored either way [AutoAWQ modules/linear/gemm.py]."""
    bits, group = entry.whole("bits", "w_bit"), entry.whole("group_size", "q_group_size", default=128)
    return entry.found(f"awq-{bits}bit-g{group}", kept=entry.modules("modules_to_not_convert"))


def auto_round(entry: Entry) -> Published:
    """AutoRound writes GPTQ's tensors or AWQ's (``packing_format``); ``extra_config`` gives single modules other bits,
    of which 16, which leaves them as they are, is understood [auto-round export/export_to_autoround]."""
    packing = entry.word("packing_format") or entry.word("backend", "auto_round:gptq")
    kind = "awq" if "awq" in packing else "gptq"
    kept, extra = [], entry.raw.get("extra_config") or {}
    if not isinstance(extra, Mapping):
        raise Unknown(f"extra_config must be a JSON object, not {shown(extra)}")
    for name, one in extra.items():
        bits = one.get("bits") if isinstance(one, Mapping) else None
        if not isinstance(bits, int) or bits < 16:
            raise Unknown("extra_config gives some modules other bits than the rest")
        kept.append(f"re:{name}" if re.search(r"[*\\(]", name) else name)
    bits, group = entry.whole("bits"), entry.whole("group_size", default=128)
    note = f"AutoRound's file is taken to hold the tensors of {kind.upper()} (packing_format)"
    return entry.found(f"{kind}-{bits}bit-g{group}", kept=modules(kept), notes=(note,))


def hqq(entry: Entry) -> Published:
    """``quant_config.weight_quant_params`` (or, for single layers, ``dynamic_config``, which is refused), and
    ``skip_modules`` [transformers 5.23 utils/quantization_config.py: HqqConfig]."""
    whole = entry.raw.get("quant_config")
    inner = whole.get("weight_quant_params") if isinstance(whole, Mapping) else None
    if not isinstance(inner, Mapping):
        raise Unknown("quant_config gives no weight_quant_params for all layers")
    if isinstance(whole, Mapping) and (whole.get("scale_quant_params") or whole.get("zero_quant_params")):
        raise Unknown("its scales or zero points are quantised themselves")
    params = Entry(entry.method, inner)
    bits, group = params.whole("nbits", default=4), params.whole("group_size", default=64)
    return entry.found(f"hqq-{bits}bit-g{group}", kept=entry.modules("skip_modules"))


_TORCHAO = {
    "int8weightonly": "torchao-int8",
    "int8dynamicactivationint8weight": "torchao-int8",
    "float8weightonly": "torchao-float8",
    "float8dynamicactivationfloat8weight": "torchao-float8",
}


def torchao(entry: Entry) -> Published:
    """``quant_type``: a word with ``quant_type_kwargs`` (older files), or ``{"default": {"_type": …Config, "_data":
    …}}`` [transformers 5.23 utils/quantization_config.py: TorchAoConfig]."""
    raw = entry.raw.get("quant_type")
    options: Any = entry.raw.get("quant_type_kwargs") or {}
    if isinstance(raw, Mapping):
        inner = raw.get("default", raw)
        if set(raw) not in ({"default"}, {"_type", "_data"}, {"_type", "_data", "_version"}) or not isinstance(
            inner, Mapping
        ):
            raise Unknown("quant_type has rules for single modules")
        raw, options = inner.get("_type"), inner.get("_data") or {}
    if not isinstance(raw, str) or not isinstance(options, Mapping):
        raise Unknown(f"quant_type {shown(raw)} is not known")
    if entry.flag("include_input_output_embeddings"):
        raise Unknown("the embeddings are quantised as well")
    kind = raw.casefold().replace("_", "").removesuffix("config")
    weights = _TORCHAO.get(kind)
    if kind == "int4weightonly":
        weights = f"torchao-int4-g{Entry(entry.method, options).whole('group_size', default=128)}"
    if weights is None:
        raise Unknown(f"quant_type {raw[:60]!r} is not known")
    return entry.found(weights, kept=entry.modules("modules_to_not_convert"))


def exl(entry: Entry) -> Published:
    """``bits`` a weight on average [exllamav2 config.py; exllamav3 config.py]."""
    bits = entry.any("bits")
    if isinstance(bits, bool) or not isinstance(bits, int | float):
        raise Unknown(f"bits must be a number, not {shown(bits)}")
    notes: tuple[str, ...] = ()
    head = entry.any("head_bits", "lm_head_bits")
    if head not in (None, 6):
        notes = (f"the head has {head} bits in this file; 6 are taken",)
    return entry.found(f"{entry.method}-{round(float(bits), 3):g}bpw", notes=notes)
