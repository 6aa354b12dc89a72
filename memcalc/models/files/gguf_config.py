"""From a GGUF file's metadata to a configuration as transformers has it, for the families that both know
[gguf 0.19 constants.py: Keys, MODEL_ARCH; llama.cpp convert_hf_to_gguf.py].

What a file does not say in words it says by its tensors: whether the head is tied, and where there are biases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memcalc.errors import ModelError
from memcalc.models.files.gguf_header import FIELD, Header

Config = dict[str, Any]

MODEL_TYPES = {
    "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3moe": "qwen3_moe", "gemma": "gemma", "gemma2": "gemma2",
    "gemma3": "gemma3_text", "phi2": "phi", "phi3": "phi3", "gpt2": "gpt2", "gptneox": "gpt_neox", "falcon": "falcon",
    "bloom": "bloom", "mpt": "mpt", "starcoder": "gpt_bigcode", "starcoder2": "starcoder2", "stablelm": "stablelm",
    "olmo": "olmo", "olmo2": "olmo2", "command-r": "cohere", "glm4": "glm4", "granite": "granite",
    "smollm3": "smollm3", "deepseek2": "deepseek_v2", "gpt-oss": "gpt_oss",
    "llama4": "llama4_text",
}  # fmt: skip
"""GGUF's name of an architecture: transformers' model_type."""

_COMMON = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
}
_CHUNK, _PLAIN_EXPERTS = 8192, 128
"""Of Llama 4: tokens of a chunk; the experts of the model that does not norm queries and keys (Maverick)."""
_SIGMOID = 2  # gguf constants.py: ExpertGatingFuncType


class Described:
    """Typed access to one file's metadata and tensor names."""

    def __init__(self, header: Header, name: str) -> None:
        self.name = name
        self.metadata = header.metadata
        self.shapes = {one.name: one.shape for one in header.tensors}

    def get(self, key: str) -> Any:
        """A value of this architecture's; of a list with one value for each layer, that value if all are the same."""
        found = self.metadata.get(f"{self.name}.{key}")
        if isinstance(found, list):
            if len(set(found)) != 1:
                raise ModelError(f"{self.name}.{key} differs from layer to layer: no program yet", FIELD)
            found = found[0]
        return found

    def need(self, key: str) -> Any:
        """``get``, or ModelError."""
        found = self.get(key)
        if found is None:
            raise ModelError(f"the GGUF file lacks {self.name}.{key}", FIELD)
        return found

    def has(self, *suffixes: str) -> bool:
        """Whether the first block has a tensor of one of these names."""
        return any(f"blk.0.{one}" in self.shapes for one in suffixes)


def config(header: Header) -> Config:
    """The configuration that the file describes; ModelError for an architecture without a program."""
    name = header.metadata.get("general.architecture")
    if not isinstance(name, str) or name not in MODEL_TYPES:
        raise ModelError(f"no program yet for the GGUF architecture {str(name)[:60]!r}", FIELD, sorted(MODEL_TYPES))
    found = Described(header, name)
    if "token_embd.weight" not in found.shapes:
        raise ModelError("the GGUF file has no token_embd.weight: it is not a whole language model", FIELD)
    said: Config = {"model_type": MODEL_TYPES[name]}
    for key, field in _COMMON.items():
        if found.get(key) is not None:
            said[field] = found.get(key)
    bias = found.has("attn_q.bias", "attn_qkv.bias", "attn_output.bias")
    wide = found.has("ffn_up.bias", "ffn_down.bias")
    said |= {
        "vocab_size": found.shapes["token_embd.weight"][-1],
        "tie_word_embeddings": "output.weight" not in found.shapes,
        "attention_bias": bias,
        "mlp_bias": wide,
        "use_bias": bias,
        "use_qkv_bias": bias,
        "bias": bias,
        "qk_layernorm": found.has("attn_q_norm.weight"),
        "use_qk_norm": found.has("attn_q_norm.weight"),
    }
    said.setdefault("intermediate_size", said.get("moe_intermediate_size"))
    own = _OWN.get(name)
    return said | (own(found) if own else {})


def _llama(found: Described) -> Config:
    """Mistral's and Mixtral's files call themselves llama as well."""
    if not found.get("expert_count"):
        return {}
    return {"model_type": "mixtral", "num_local_experts": found.get("expert_count"), "sliding_window": None}


def _windows(pattern: str) -> Callable[[Described], Config]:
    """Sliding windows, by the family's own pattern where the file has none for each layer."""

    def own(found: Described) -> Config:
        listed = found.metadata.get(f"{found.name}.{pattern}")
        if not isinstance(listed, list):
            return {}
        return {"layer_types": ["sliding_attention" if one else "full_attention" for one in listed]}

    return own


def _partial(found: Described) -> Config:
    """Part of each head is rotated."""
    rotated = found.get("rope.dimension_count")
    width = found.get("attention.key_length") or found.need("embedding_length") // found.need("attention.head_count")
    parallel = found.get("use_parallel_residual")
    said: Config = {} if rotated is None else {"partial_rotary_factor": rotated / width}
    return said if parallel is None else said | {"use_parallel_residual": bool(parallel)}


def _falcon(found: Described) -> Config:
    groups = found.need("attention.head_count_kv")
    new = groups > 1
    norms = 2 if found.has("attn_norm_2.weight") else 1
    return {
        "new_decoder_architecture": new,
        "multi_query": not new,
        "num_kv_heads": groups,
        "num_ln_in_parallel_attn": norms,
        "ffn_hidden_size": found.get("feed_forward_length"),
    }


def _mpt(found: Described) -> Config:
    if found.has("attn_q_norm.weight") or found.has("attn_qkv.bias"):
        raise ModelError("MPT with biases or norms of queries and keys has no program yet", FIELD)
    clip = found.get("attention.clamp_kqv")
    wide = found.get("feed_forward_length")
    return {
        "expansion_ratio": 4 if wide is None else wide // found.need("embedding_length"),
        "attn_config": {"clip_qkv": clip},
    }


def _bloom(found: Described) -> Config:
    return {"seq_length": found.get("context_length")}


def _bigcode(found: Described) -> Config:
    return {"multi_query": found.get("attention.head_count_kv") == 1, "n_inner": found.get("feed_forward_length")}


def _gpt2(found: Described) -> Config:
    return {"n_inner": found.get("feed_forward_length")}


def _olmo(found: Described) -> Config:
    return {"clip_qkv": found.get("attention.clamp_kqv")}


def _deepseek(found: Described) -> Config:
    rotary = found.need("rope.dimension_count")
    whole = found.get("attention.key_length_mla") or found.need("attention.key_length")
    third = found.get("expert_gating_func") == _SIGMOID
    said: Config = {
        "model_type": "deepseek_v3" if third else "deepseek_v2",
        "qk_rope_head_dim": rotary,
        "qk_nope_head_dim": whole - rotary,
        "v_head_dim": found.get("attention.value_length_mla") or found.need("attention.value_length"),
        "kv_lora_rank": found.need("attention.kv_lora_rank"),
        "q_lora_rank": found.get("attention.q_lora_rank") or None,
        "first_k_dense_replace": found.get("leading_dense_block_count") or 0,
        "n_routed_experts": found.get("expert_count"),
        "n_shared_experts": found.get("expert_shared_count"),
        "num_key_value_heads": found.need("attention.head_count"),
        "norm_topk_prob": bool(found.get("expert_weights_norm")),
    }
    for key, field in (("expert_group_count", "n_group"), ("expert_group_used_count", "topk_group")):
        if found.get(key) is not None:
            said[field] = found.get(key)
    if not third and said.get("n_group", 1) > 1:
        said["topk_method"] = "group_limited_greedy"
    return said


def _qwen3_moe(found: Described) -> Config:
    """llama.cpp scales the chosen experts' weights to a sum of one, as all published models of the kind do
    [llama.cpp src/models/qwen3moe.cpp: build_moe_ffn with norm_w]."""
    return {"norm_topk_prob": True}


def _llama4(found: Described) -> Config:
    """llama.cpp takes the chunk, and which model norms its queries and keys, as given [src/models/llama4.cpp]."""
    experts = found.need("expert_count")
    return {
        "intermediate_size": found.need("expert_feed_forward_length"),
        "intermediate_size_mlp": found.need("feed_forward_length"),
        "num_local_experts": experts,
        "interleave_moe_layer_step": found.get("interleave_moe_layer_step") or 1,
        "attention_chunk_size": found.get("attention.chunk_size") or _CHUNK,
        "use_qk_norm": experts != _PLAIN_EXPERTS,
    }


_OWN: Mapping[str, Callable[[Described], Config]] = {
    "llama": _llama, "gemma2": _windows("attention.sliding_window_pattern"),
    "gemma3": _windows("attention.sliding_window_pattern"), "gpt-oss": _windows("attention.sliding_window_pattern"),
    "phi2": _partial, "phi3": _partial, "gptneox": _partial, "stablelm": _partial, "glm4": _partial,
    "falcon": _falcon, "mpt": _mpt, "bloom": _bloom, "starcoder": _bigcode, "gpt2": _gpt2, "olmo": _olmo,
    "deepseek2": _deepseek, "qwen3moe": _qwen3_moe, "llama4": _llama4,
}  # fmt: skip
