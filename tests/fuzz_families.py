"""Random small configurations of every decoder family, for ``fuzz_traces.py``: few layers, odd head counts, tied and
untied heads, grouped queries, biases, dropout, sliding windows."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Config = dict[str, Any]


def _heads(rng: random.Random) -> tuple[int, int, int]:
    """Heads, key heads, head size."""
    heads = rng.choice((1, 2, 3, 4, 6, 8))
    kv = rng.choice([n for n in range(1, heads + 1) if heads % n == 0])
    return heads, kv, rng.choice((8, 16, 32, 64, 80))


def common(rng: random.Random) -> Config:
    """What Llama-like configurations have in common."""
    heads, kv, d = _heads(rng)
    return {
        "vocab_size": rng.choice((101, 997, 1000, 4096, 32000)),
        "hidden_size": heads * d,
        "intermediate_size": rng.choice((64, 100, 256, 688)),
        "num_hidden_layers": rng.choice((1, 2, 3, 4, 5, 7)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": rng.random() < 0.5,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _p(rng: random.Random) -> float:
    return rng.choice((0.0, 0.0, 0.1))


def coin(rng: random.Random) -> bool:
    return rng.random() < 0.5


def named(head: str, kind: str, config: Config, *drop: str) -> Config:
    return {"architectures": [head], "model_type": kind} | {k: v for k, v in config.items() if k not in drop}


def gpt2(rng: random.Random) -> Config:
    base = common(rng)
    return named("GPT2LMHeadModel", "gpt2", {
        "vocab_size": base["vocab_size"], "n_embd": base["hidden_size"], "n_layer": base["num_hidden_layers"],
        "n_head": base["num_attention_heads"], "n_positions": 2048, "n_inner": rng.choice((None, 100)),
        "activation_function": rng.choice(("gelu_new", "gelu", "relu")), "resid_pdrop": _p(rng), "embd_pdrop": _p(rng),
        "attn_pdrop": _p(rng), "tie_word_embeddings": base["tie_word_embeddings"],
    })  # fmt: skip


def llama(rng: random.Random) -> Config:
    more = {"head_dim": rng.choice((16, 32, 64)), "attention_bias": coin(rng), "mlp_bias": coin(rng)}
    return named("LlamaForCausalLM", "llama", common(rng) | more | {"attention_dropout": _p(rng)})


def mistral(rng: random.Random) -> Config:
    return named("MistralForCausalLM", "mistral", common(rng) | {"sliding_window": rng.choice((None, 16, 64, 128))})


def qwen2(rng: random.Random) -> Config:
    config = common(rng)
    window = {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1} if rng.random() < 0.3 else {}
    return named("Qwen2ForCausalLM", "qwen2", config | window)


def qwen3(rng: random.Random) -> Config:
    return named("Qwen3ForCausalLM", "qwen3", common(rng) | {"head_dim": 32, "attention_bias": coin(rng)})


def gpt_neox(rng: random.Random) -> Config:
    base = common(rng)
    base |= {"rotary_pct": rng.choice((0.25, 0.5, 1.0)), "use_parallel_residual": coin(rng), "hidden_act": "gelu"}
    base |= {"hidden_dropout": _p(rng), "attention_dropout": _p(rng), "attention_bias": rng.random() < 0.8}
    return named("GPTNeoXForCausalLM", "gpt_neox", base, "num_key_value_heads")


def gptj(rng: random.Random) -> Config:
    base = common(rng)
    return named("GPTJForCausalLM", "gptj", {
        "vocab_size": base["vocab_size"], "n_embd": base["hidden_size"], "n_layer": base["num_hidden_layers"],
        "n_head": base["num_attention_heads"], "n_positions": 2048, "rotary_dim": 8, "activation_function": "gelu_new",
        "resid_pdrop": _p(rng), "embd_pdrop": _p(rng), "attn_pdrop": _p(rng),
        "tie_word_embeddings": False,
    })  # fmt: skip


def opt(rng: random.Random) -> Config:
    base = common(rng)
    first = rng.random() < 0.8
    return named("OPTForCausalLM", "opt", base | {
        "ffn_dim": base["intermediate_size"], "dropout": _p(rng), "attention_dropout": _p(rng), "pad_token_id": 1,
        "activation_function": "relu", "do_layer_norm_before": first,
        "word_embed_proj_dim": base["hidden_size"] if first else base["hidden_size"] // 2,
    }, "intermediate_size", "num_key_value_heads")  # fmt: skip


def bloom(rng: random.Random) -> Config:
    base = common(rng)
    return named("BloomForCausalLM", "bloom", {
        "vocab_size": base["vocab_size"], "hidden_size": base["hidden_size"], "n_layer": base["num_hidden_layers"],
        "n_head": base["num_attention_heads"], "hidden_dropout": _p(rng), "attention_dropout": _p(rng),
        "apply_residual_connection_post_layernorm": rng.random() < 0.2,
    })  # fmt: skip


def falcon(rng: random.Random) -> Config:
    base = common(rng)
    new = coin(rng)
    kv = {"num_kv_heads": base["num_key_value_heads"]} if new else {}
    return named("FalconForCausalLM", "falcon", base | {
        "new_decoder_architecture": new, "alibi": False, "multi_query": True, "parallel_attn": True,
        "bias": rng.random() < 0.3, "hidden_dropout": _p(rng), "attention_dropout": _p(rng), **kv,
    }, "intermediate_size", "num_key_value_heads")  # fmt: skip


def falcon_alibi(rng: random.Random) -> Config:
    config = falcon(rng) | {"alibi": True, "new_decoder_architecture": False}
    return config | {"multi_query": False, "parallel_attn": False, "num_kv_heads": None}


def mpt(rng: random.Random) -> Config:
    base = common(rng)
    return named("MptForCausalLM", "mpt", {
        "vocab_size": base["vocab_size"], "d_model": base["hidden_size"], "n_layers": base["num_hidden_layers"],
        "n_heads": base["num_attention_heads"], "expansion_ratio": 4, "max_seq_len": 2048, "no_bias": True,
        "attn_config": {"alibi": True, "attn_pdrop": 0},
    })  # fmt: skip


def phi(rng: random.Random) -> Config:
    return named("PhiForCausalLM", "phi", common(rng) | {
        "hidden_act": "gelu_new", "partial_rotary_factor": rng.choice((0.25, 0.5)), "resid_pdrop": _p(rng),
        "embd_pdrop": _p(rng), "attention_dropout": _p(rng), "qk_layernorm": rng.random() < 0.3,
    })  # fmt: skip


def phi3(rng: random.Random) -> Config:
    return named("Phi3ForCausalLM", "phi3", common(rng) | {
        "sliding_window": rng.choice((None, 64)), "resid_pdrop": _p(rng), "attention_dropout": _p(rng),
        "partial_rotary_factor": rng.choice((1.0, 0.75)) , "original_max_position_embeddings": 4096,
    })  # fmt: skip


def stablelm(rng: random.Random) -> Config:
    return named("StableLmForCausalLM", "stablelm", common(rng) | {
        "use_qkv_bias": coin(rng), "qk_layernorm": rng.random() < 0.3, "use_parallel_residual": coin(rng),
        "hidden_dropout": _p(rng), "attention_dropout": _p(rng), "partial_rotary_factor": rng.choice((0.25, 0.5)),
    })  # fmt: skip


def gemma(rng: random.Random) -> Config:
    return named("GemmaForCausalLM", "gemma", common(rng) | {"head_dim": rng.choice((16, 64))})


def gemma2(rng: random.Random) -> Config:
    more = {"head_dim": 32, "sliding_window": rng.choice((16, 64, 4096)), "query_pre_attn_scalar": 32}
    caps = {"final_logit_softcapping": rng.choice((30.0, None)), "attn_logit_softcapping": rng.choice((50.0, None))}
    return named("Gemma2ForCausalLM", "gemma2", common(rng) | more | caps)


def gemma3(rng: random.Random) -> Config:
    more = {"head_dim": 32, "sliding_window": rng.choice((16, 64, 512)), "query_pre_attn_scalar": 32}
    return named("Gemma3ForCausalLM", "gemma3_text", common(rng) | more)


def olmo(rng: random.Random) -> Config:
    return named("OlmoForCausalLM", "olmo", common(rng) | {
        "clip_qkv": rng.choice((None, 8.0)), "attention_dropout": _p(rng), "attention_bias": rng.random() < 0.3,
    })  # fmt: skip


def olmo2(rng: random.Random) -> Config:
    return named("Olmo2ForCausalLM", "olmo2", common(rng) | {"attention_dropout": _p(rng)})


def cohere(rng: random.Random) -> Config:
    return named("CohereForCausalLM", "cohere", common(rng) | {"use_qk_norm": coin(rng), "attention_bias": coin(rng)})


def glm4(rng: random.Random) -> Config:
    return named("Glm4ForCausalLM", "glm4", common(rng) | {"head_dim": 32, "attention_bias": coin(rng)})


def smollm3(rng: random.Random) -> Config:
    return named("SmolLM3ForCausalLM", "smollm3", common(rng) | {"mlp_bias": coin(rng), "attention_dropout": _p(rng)})


def granite(rng: random.Random) -> Config:
    return named("GraniteForCausalLM", "granite", common(rng) | {
        "mlp_bias": coin(rng), "attention_bias": coin(rng), "attention_dropout": _p(rng),
    })  # fmt: skip


def starcoder2(rng: random.Random) -> Config:
    return named("Starcoder2ForCausalLM", "starcoder2", common(rng) | {
        "use_bias": coin(rng), "sliding_window": rng.choice((None, 64)), "residual_dropout": _p(rng),
        "embedding_dropout": _p(rng), "attention_dropout": _p(rng), "hidden_act": "gelu_pytorch_tanh",
    })  # fmt: skip


def gpt_bigcode(rng: random.Random) -> Config:
    return gpt2(rng) | {
        "architectures": ["GPTBigCodeForCausalLM"], "model_type": "gpt_bigcode", "multi_query": rng.random() < 0.7,
        "activation_function": "gelu_pytorch_tanh", "attention_softmax_in_fp32": True,
        "scale_attention_softmax_in_fp32": True,
    }  # fmt: skip


def glm(rng: random.Random) -> Config:
    return glm4(rng) | {"architectures": ["GlmForCausalLM"], "model_type": "glm"}


def olmo3(rng: random.Random) -> Config:
    return olmo2(rng) | {"architectures": ["Olmo3ForCausalLM"], "model_type": "olmo3", "sliding_window": 64}


def cohere2(rng: random.Random) -> Config:
    return named("Cohere2ForCausalLM", "cohere2", common(rng)) | {
        "sliding_window": rng.choice((16, 64)), "attention_bias": coin(rng), "attention_dropout": _p(rng),
    }  # fmt: skip


def seed_oss(rng: random.Random) -> Config:
    return named("SeedOssForCausalLM", "seed_oss", common(rng)) | {
        "attention_bias": coin(rng), "attention_out_bias": coin(rng), "mlp_bias": coin(rng), "head_dim": 32,
        "attention_dropout": _p(rng), "residual_dropout": _p(rng),
    }  # fmt: skip


def ernie4_5(rng: random.Random) -> Config:
    return named("Ernie4_5ForCausalLM", "ernie4_5", common(rng)) | {"use_bias": coin(rng), "head_dim": 32}


def hunyuan(rng: random.Random) -> Config:
    return named("HunYuanDenseV1ForCausalLM", "hunyuan_v1_dense", common(rng)) | {
        "attention_bias": coin(rng), "attention_dropout": _p(rng), "head_dim": 32,
    }  # fmt: skip


def exaone4(rng: random.Random) -> Config:
    base = common(rng)
    window = rng.choice((None, 64))
    return named("Exaone4ForCausalLM", "exaone4", base) | {
        "attention_dropout": _p(rng), "sliding_window": window, "sliding_window_pattern": 4 if window else None,
        **({} if window else {"layer_types": ["full_attention"] * base["num_hidden_layers"]}),
    }  # fmt: skip


FAMILIES: dict[str, Callable[[random.Random], Config]] = {
    one.__name__: one
    for one in (
        gpt2, llama, mistral, qwen2, qwen3, gpt_neox, gptj, opt, bloom, falcon, falcon_alibi, mpt, phi, phi3, stablelm,
        gemma, gemma2, gemma3, olmo, olmo2, cohere, glm4, smollm3, granite, starcoder2, gpt_bigcode,
        glm, olmo3, cohere2, seed_oss, ernie4_5, hunyuan, exaone4,
    )
}  # fmt: skip
