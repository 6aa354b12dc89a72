"""bitsandbytes, FP8 in its plain forms, MXFP4, quanto and EETQ."""

from __future__ import annotations

from memcalc.models.quantised.entry import Entry, Unknown
from memcalc.models.reader import shown
from memcalc.quantisation.modules import Modules
from memcalc.quantisation.published import Published


def bitsandbytes(entry: Entry) -> Published:
    """8 bits, or 4 with ``bnb_4bit_quant_type`` and ``bnb_4bit_use_double_quant``; ``llm_int8_skip_modules``
    [transformers 5.23 utils/quantization_config.py: BitsAndBytesConfig, whose default type is FP4]."""
    kept = entry.modules("llm_int8_skip_modules")
    if entry.flag("load_in_8bit") or entry.flag("_load_in_8bit"):
        return entry.found("int8", kept=kept)
    if not (entry.flag("load_in_4bit") or entry.flag("_load_in_4bit")):
        raise Unknown("neither load_in_4bit nor load_in_8bit is set")
    kind = entry.word("bnb_4bit_quant_type", "fp4")
    if kind not in ("nf4", "fp4"):
        raise Unknown(f"bnb_4bit_quant_type {kind[:20]!r} is not known")
    return entry.found(kind + ("-dq" if entry.flag("bnb_4bit_use_double_quant") else ""), kept=kept)


def fp8(entry: Entry) -> Published:
    """One scale a block (``weight_block_size``: DeepSeek's 128 × 128) or, where that is null or left out, one a matrix
    [transformers 5.23 integrations/finegrained_fp8.py: FP8Linear; vLLM model_executor/layers/quantization/fp8.py]."""
    kept = entry.modules("modules_to_not_convert", "ignored_layers")
    if entry.any("modules_to_convert"):
        raise Unknown("modules_to_convert quantises more than linear layers")
    if entry.word("expert_dtype", "fp8") != "fp8":
        raise Unknown("its experts have another format than its other layers")
    block = entry.any("weight_block_size")
    if block is None:
        return entry.found("fp8", kept=kept)
    if block not in ([128, 128], (128, 128)):
        raise Unknown(f"weight_block_size {shown(block)}: only [128, 128] is known")
    scales = entry.word("scale_fmt", "float")
    if scales not in ("float", "ue8m0"):
        raise Unknown(f"scale_fmt {shown(scales)} is not known")
    notes: tuple[str, ...] = ()
    if scales == "ue8m0":
        notes = ("the scales are taken as fp32; ue8m0 ones have a byte each, 0.02 % less altogether",)
    return entry.found("fp8-block", kept=kept, notes=notes)


def fbgemm(entry: Entry) -> Published:
    """FP8 with an fp32 scale for each output (Llama-3.1-405B-Instruct-FP8) [transformers 5.23
    integrations/fbgemm_fp8.py: FbgemmFp8Linear]."""
    return entry.found("fp8-channel", kept=entry.modules("modules_to_not_convert"))


def mxfp4(entry: Entry) -> Published:
    """gpt-oss: the experts only [transformers 5.23 integrations/mxfp4.py: replace_with_mxfp4_linear]."""
    return entry.found("mxfp4", kept=entry.modules("modules_to_not_convert"), only=Modules(("experts",)))


def quanto(entry: Entry) -> Published:
    """``weights``: int8, int4 or float8 [transformers 5.23 utils/quantization_config.py: QuantoConfig]."""
    kind = entry.word("weights", "int8")
    if kind not in ("int8", "int4", "float8"):
        raise Unknown(f"weights {kind[:20]!r} are not known")
    return entry.found(f"quanto-{kind}", kept=entry.modules("modules_to_not_convert"))


def eetq(entry: Entry) -> Published:
    """int8 with an fp16 scale for each output [transformers 5.23 integrations/eetq.py: EetqLinear]."""
    if entry.word("weights", "int8") != "int8":
        raise Unknown("EETQ has int8 only")
    return entry.found("eetq-int8", kept=entry.modules("modules_to_not_convert"))
