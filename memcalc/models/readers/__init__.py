"""One reader of ``config.json`` a family; ``FAMILIES`` maps every known ``model_type`` to its reader."""

from __future__ import annotations

from memcalc.models.reader import Family
from memcalc.models.readers import (
    bert,
    bloom,
    cohere,
    deepseek,
    falcon,
    gemma,
    glm4,
    gpt2,
    gpt_bigcode,
    gpt_neox,
    gptj,
    granite,
    jamba,
    llama,
    llama4,
    mamba,
    moe,
    mpt,
    olmo,
    opt,
    phi,
    phi3,
    smollm3,
    stablelm,
    starcoder2,
    variants,
)

FAMILIES: dict[str, Family] = {
    **gpt2.FAMILIES,
    **llama.FAMILIES,
    **llama4.FAMILIES,
    **cohere.FAMILIES,
    **gemma.FAMILIES,
    **glm4.FAMILIES,
    **granite.FAMILIES,
    **olmo.FAMILIES,
    **phi3.FAMILIES,
    **smollm3.FAMILIES,
    **stablelm.FAMILIES,
    **gpt_neox.FAMILIES,
    **opt.FAMILIES,
    **phi.FAMILIES,
    **starcoder2.FAMILIES,
    **gpt_bigcode.FAMILIES,
    **bloom.FAMILIES,
    **mpt.FAMILIES,
    **jamba.FAMILIES,
    **mamba.FAMILIES,
    **moe.FAMILIES,
    **deepseek.FAMILIES,
    **gptj.FAMILIES,
    **falcon.FAMILIES,
    **variants.FAMILIES,
    **bert.FAMILIES,
}

__all__ = ["FAMILIES"]
