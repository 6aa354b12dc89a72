"""GGUF headers of every family, made of transformers' own models by the names that the gguf package gives their
tensors: what is read back must be the catalogue's description. Needs torch and transformers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from memcalc.models import catalogue, describe
from memcalc.models.files.gguf_config import MODEL_TYPES

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ARCHITECTURES = {kind: name for name, kind in MODEL_TYPES.items()} | {
    "mistral": "llama", "mixtral": "llama", "deepseek_v3": "deepseek2",
}  # fmt: skip
MODELS = (
    "gpt2", "SmolLM2-135M", "TinyLlama-1.1B", "Qwen2.5-0.5B", "Qwen3-0.6B", "Gemma-2B", "Gemma-2-2B", "Gemma-3-1B",
    "Phi-3-mini-4k", "Phi-4-mini", "phi-2", "StableLM-2-1.6B", "OLMo-1B", "OLMo-2-7B", "SmolLM3-3B", "Granite-3.3-2B",
    "GLM-4-9B-0414", "pythia-70m", "falcon-7b", "falcon-40b", "Command-R", "mpt-7b", "Mixtral-8x7B", "Qwen3-30B-A3B",
    "DeepSeek-V3", "DeepSeek-V2-Lite", "DeepSeek-V2", "gpt-oss-20b",
    "Llama-4-Scout",
)  # fmt: skip
UNSAID = {"activation", "embedding_dropout", "residual_dropout", "attention_dropout", "normalise"}
"""What a GGUF file does not say."""


def metadata(writer: Any, spec: Any, config: dict[str, Any]) -> None:
    """The keys that llama.cpp's converter writes for a model [convert_hf_to_gguf.py: set_gguf_parameters]."""
    kind = config["model_type"]
    writer.add_context_length(spec.max_positions)
    writer.add_embedding_length(spec.hidden)
    writer.add_block_count(spec.layers)
    writer.add_feed_forward_length(spec.ffn)
    writer.add_head_count(spec.heads)
    writer.add_head_count_kv((spec.groups or 1) if kind == "falcon" else spec.kv_heads)
    if kind.startswith("deepseek"):
        _latent(writer, spec, config)
    elif spec.head_dim * spec.heads != spec.hidden:
        writer.add_key_length(spec.head_dim)
        writer.add_value_length(spec.head_dim)
    if hasattr(spec, "rotary_dim"):
        writer.add_rope_dimension_count(spec.rotary_dim)
    if any(spec.windows):
        writer.add_sliding_window(next(one for one in spec.windows if one))
    if hasattr(spec, "experts"):
        writer.add_expert_count(spec.experts)
        writer.add_expert_used_count(spec.chosen)
        writer.add_expert_feed_forward_length(spec.expert_ffn)
    if kind == "llama4_text":
        writer.add_interleave_moe_layer_step(config["interleave_moe_layer_step"])
    if kind == "gpt_neox":
        writer.add_parallel_residual(spec.parallel)
    clip = config.get("clip_qkv") or (config.get("attn_config") or {}).get("clip_qkv")
    if clip:
        writer.add_clamp_kqv(clip)


def _latent(writer: Any, spec: Any, config: dict[str, Any]) -> None:
    writer.add_key_length(spec.kv_rank + spec.rotary_dim)
    writer.add_value_length(spec.kv_rank)
    writer.add_key_length_mla(spec.head_dim)
    writer.add_value_length_mla(spec.value_dim)
    writer.add_kv_lora_rank(spec.kv_rank)
    if spec.query_rank:
        writer.add_q_lora_rank(spec.query_rank)
    writer.add_leading_dense_block_count(config.get("first_k_dense_replace", 0))
    writer.add_expert_shared_count(config["n_shared_experts"])
    if spec.grouped:
        writer.add_expert_group_count(spec.groups)
        writer.add_expert_group_used_count(spec.chosen_groups)
    if config["model_type"] == "deepseek_v3":
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_weights_norm(True)


def converted(name: str, shape: tuple[int, ...], spec: Any, names: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The tensors of a file that a parameter of transformers becomes: experts and latent values are taken apart."""
    block = name.split(".")[2] if name.count(".") > 2 else ""
    at = f"blk.{block}."
    if name.endswith("experts.gate_up_proj"):
        count, first, second = shape
        wide, inner = (second, first) if spec.family in ("gpt_oss", "llama4_text") else (first, second)
        return [(f"{at}{one}.weight", (count, wide // 2, inner)) for one in ("ffn_gate_exps", "ffn_up_exps")]
    if name.endswith("experts.gate_up_proj_bias"):
        return [(f"{at}{one}.bias", (shape[0], shape[1] // 2)) for one in ("ffn_gate_exps", "ffn_up_exps")]
    if name.endswith(("experts.down_proj", "experts.down_proj_bias")):
        return [(f"{at}ffn_down_exps.{'bias' if name.endswith('bias') else 'weight'}", shape)]
    if name.endswith("self_attn.sinks"):
        return [(f"{at}attn_sinks.weight", shape)]
    if name.endswith("kv_b_proj.weight"):
        plain = spec.head_dim - spec.rotary_dim
        keys, values = (spec.heads, spec.kv_rank, plain), (spec.heads, spec.value_dim, spec.kv_rank)
        return [(f"{at}attn_k_b.weight", keys), (f"{at}attn_v_b.weight", values)]
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found is not None, name
    return [(found, shape)]


@pytest.mark.parametrize("name", MODELS)
def test_what_a_file_says_is_what_the_catalogue_says(name: str, tmp_path: Path) -> None:
    config, spec = catalogue.find(name).config, describe(name).spec
    kind = config["model_type"]
    known = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **known))
    architecture = ARCHITECTURES[kind]
    numbers = {written: number for number, written in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(numbers[architecture], spec.layers)
    writer = gguf.GGUFWriter(str(tmp_path / "model.gguf"), architecture)
    metadata(writer, spec, config)
    for parameter, values in model.named_parameters():
        if spec.tied and parameter in ("lm_head.weight", "embed_out.weight"):
            continue
        for written, shape in converted(parameter, tuple(values.shape), spec, names):
            writer.add_tensor_info(written, shape, np.dtype(np.float16), 2 * int(np.prod(shape)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    found = describe({"gguf": str(tmp_path / "model.gguf")}).spec
    wanted, got = asdict(spec), asdict(found)
    assert {key: got[key] for key in wanted if key not in UNSAID} == {
        key: value for key, value in wanted.items() if key not in UNSAID
    }
