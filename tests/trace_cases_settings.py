"""Settings that meet in ways of their own, for ``record_traces.py``: found by ``fuzz_traces.py``, small models."""

from __future__ import annotations

from typing import Any

from tests.trace_cases import GPT2_S, LLAMA_3_8B, LLAMA_S, MISTRAL_W, QWEN2_S, dora, lora, small

Config = dict[str, Any]
CASES: dict[str, dict[str, Any]] = {}

OLMO2: Config = {
    "architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2", "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}  # fmt: skip
COHERE: Config = {
    "architectures": ["CohereForCausalLM"], "model_type": "cohere", "max_position_embeddings": 4096,
    "tie_word_embeddings": True, "use_qk_norm": True,
}  # fmt: skip


def train(name: str, config: Config, precision: str, training: Config, **fields: Any) -> None:
    """Add a training case of two sequences of 150 tokens; ``fields`` of the scenario may say otherwise."""
    words = [f"{key}={value}" for key, value in (fields | training).items() if key != "lora"]
    if "lora" in training:
        words.append(f"dropout={training['lora']['dropout']}")
    CASES[f"{name} train {precision} {' '.join(words)}"] = {
        "task": "train", "model": {"config": config}, "precision": precision, "batch": 2, "seq_len": 150,
        "training": training, **fields,
    }  # fmt: skip


# PEFT turns a Conv1D's weight round for DoRA with dropout: a parameter of its own, whose gradient only the graph holds.
for precision in ("fp32", "bf16-mixed", "fp16-mixed"):
    train("gpt2-s", GPT2_S, precision, dora(dropout=0.1))
    for again in ("full", "selective-ops"):
        train("gpt2-s", GPT2_S, precision, {"checkpointing": again, **dora(dropout=0.1)})
    train("gpt2-s", GPT2_S, precision, {"checkpointing": "full", **dora()})
train("gpt2-s", GPT2_S, "bf16", dora(dropout=0.1, dtype="bf16"))
train("gpt2-s", GPT2_S, "bf16-mixed", {"grad_accumulation": 2, **dora(dropout=0.1)}, batch=8)

# Autocast caches its copy of a leaf: with checkpointing and frozen embeddings, the first block's input.
for again in ("full", "selective-ops"):
    train("olmo2-s", small(OLMO2), "bf16-mixed", {"checkpointing": again, **lora(dropout=0.1)})
train("olmo2-s", small(OLMO2), "fp16-mixed", {"checkpointing": "full", **lora()})

# A mask goes to the host as the kernel sees it: spread over the heads.
for heads in (2, 8):
    one = small(COHERE, num_key_value_heads=heads)
    for precision in ("fp32", "bf16", "bf16-mixed"):
        train(f"cohere-kv{heads}", one, precision, {"activation_offload": True}, attention_mask="padded")

# The attention composite adds its mask out of place where every operator is watched; autocast casts a float mask.
SMOLLM3: Config = {
    "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "max_position_embeddings": 4096,
    "tie_word_embeddings": True, "pad_token_id": 0,
}  # fmt: skip
FALCON_ALIBI: Config = {
    "architectures": ["FalconForCausalLM"], "model_type": "falcon", "vocab_size": 1999, "hidden_size": 256,
    "num_hidden_layers": 2, "num_attention_heads": 8, "alibi": True, "multi_query": False, "parallel_attn": False,
    "new_decoder_architecture": False, "bias": True, "hidden_dropout": 0.0, "attention_dropout": 0.0,
}  # fmt: skip
for precision in ("fp32", "bf16", "bf16-mixed"):
    train("smollm3-s", small(SMOLLM3), precision, {"checkpointing": "selective-ops"}, attention="math")
    train("llama-s", LLAMA_S, precision, {"checkpointing": "selective-ops"}, attention="math", attention_mask="padded")
for again in ("none", "full"):
    mixed = {"checkpointing": again, **lora()}
    train("falcon-alibi", FALCON_ALIBI, "bf16-mixed", mixed, attention="math", attention_mask="padded")

# Autocast caches copies of fp32 weights only.
train("llama-s", LLAMA_S, "fp16-mixed", {"activation_offload": True, **dora(dtype="bf16")})
train("llama-s", LLAMA_S, "fp16-mixed", lora(dtype="bf16"))

# bitsandbytes' 4-bit layers (needs the package): QLoRA as PEFT prepares it, and inference.
GEMMA2: Config = {
    "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "max_position_embeddings": 4096,
    "tie_word_embeddings": True, "sliding_window": 64, "pad_token_id": 0,
}  # fmt: skip
for name, config in (("llama-s", LLAMA_S), ("qwen2-s", QWEN2_S), ("mistral-w", MISTRAL_W), ("gpt2-s", GPT2_S)):
    for precision in ("bf16", "bf16-mixed"):
        for base in ("nf4", "nf4-dq"):
            train(name, config, precision, lora() | {"method": "qlora", "base_weights": base})
        train(name, config, precision, lora(dropout=0.1) | {"method": "qlora", "checkpointing": "full"})
    train(name, config, "bf16-mixed", lora(dtype="bf16") | {"method": "qlora", "checkpointing": "selective-ops"})
    for base, rows, prompt in (("nf4", 1, 100), ("nf4-dq", 3, 40), ("nf4-dq", 6, 1)):
        CASES[f"{name} infer bf16 {base} b{rows} p{prompt} n9"] = {
            "model": {"config": config}, "task": "infer", "batch": rows,
            "inference": {"prompt_tokens": prompt, "new_tokens": 9, "weights": base},
        }  # fmt: skip
train("gemma2-s", small(GEMMA2), "fp16-mixed", lora(dropout=0.1) | {"method": "qlora", "checkpointing": "full"})
train("gemma2-s", small(GEMMA2), "bf16", lora() | {"method": "qlora", "grad_accumulation": 2})

# One key head and a small vocabulary: the peak falls between two products, on what Python still holds.
for kind, head in (("glm", "GlmForCausalLM"), ("glm4", "Glm4ForCausalLM")):
    one = small({"model_type": kind, "architectures": [head]}, layers=7, num_key_value_heads=1, intermediate_size=64)
    for precision, runtime in (("fp32", "forward"), ("fp16", "transformers")):
        CASES[f"{kind}-narrow infer {precision} {runtime} p500"] = {
            "model": {"config": one | {"pad_token_id": 0, "eos_token_id": 2}}, "task": "infer", "precision": precision,
            "inference": {"prompt_tokens": 500, "new_tokens": 2, "runtime": runtime, "logits": "last"},
        }  # fmt: skip

# One head, or one key head for all: what elsewhere is copied to fold heads into the batch is only looked at.
_ONE: Config = {"max_position_embeddings": 4096, "pad_token_id": 0, "tie_word_embeddings": False}
SINGLE: dict[str, Config] = {
    "phi3": small(_ONE | {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"]}, num_key_value_heads=1)
    | {"num_attention_heads": 1, "original_max_position_embeddings": 4096},
    "phi": small(_ONE | {"model_type": "phi", "architectures": ["PhiForCausalLM"]}, num_key_value_heads=1)
    | {"num_attention_heads": 1},
    "bloom": {
        "architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 1999, "hidden_size": 64,
        "n_layer": 3, "n_head": 1,
    },
    "falcon-kv1": {k: v for k, v in FALCON_ALIBI.items() if k != "alibi"}
    | {"multi_query": True, "parallel_attn": True, "new_decoder_architecture": True, "num_kv_heads": 1},
    "falcon-kv8": {k: v for k, v in FALCON_ALIBI.items() if k != "alibi"}
    | {"multi_query": True, "parallel_attn": True, "new_decoder_architecture": True, "num_kv_heads": 8},
}  # fmt: skip
for name, config in SINGLE.items():
    for precision, attention in (("fp32", "eager"), ("bf16", "sdpa"), ("bf16-mixed", "math")):
        train(f"{name}-single", config, precision, {}, attention=attention)
        CASES[f"{name}-single infer {precision[:4]} {attention} forward p150"] = {
            "model": {"config": config}, "task": "infer", "precision": precision[:4], "attention": attention,
            "batch": 2, "inference": {"prompt_tokens": 150, "runtime": "forward"},
        }  # fmt: skip

# What is small and short: MPT's alibi is as long as the model's limit; Falcon keeps the lists that it indexes with;
# Adafactor takes a mean of each row factor beside the estimates.
MPT: Config = {
    "architectures": ["MptForCausalLM"], "model_type": "mpt", "vocab_size": 1000, "d_model": 48, "n_layers": 5,
    "expansion_ratio": 4, "max_seq_len": 2048, "no_bias": True, "attn_config": {"alibi": True, "attn_pdrop": 0},
}  # fmt: skip
for heads in (4, 6):
    for prompt, runtime in ((1, "transformers"), (7, "forward")):
        CASES[f"mpt-h{heads} infer {runtime} p{prompt}"] = {
            "model": {"config": MPT | {"n_heads": heads}}, "task": "infer",
            "inference": {"prompt_tokens": prompt, "new_tokens": 2, "runtime": runtime, "logits": "last"},
        }  # fmt: skip
    train(f"mpt-h{heads}", MPT | {"n_heads": heads}, "bf16", {"optimizer": "sgd"}, batch=1, seq_len=1)
_NARROW = FALCON_ALIBI | {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 4, "bias": False}
for name, more in (("kv1", {"new_decoder_architecture": True, "num_kv_heads": 1}), ("multi", {"multi_query": True})):
    one = {k: v for k, v in (_NARROW | {"multi_query": True, "parallel_attn": True} | more).items() if k != "alibi"}
    for precision, training in (("fp16-master", {"method": "head"}), ("fp32", {}), ("bf16", {"checkpointing": "full"})):
        train(f"falcon-narrow-{name}", one, precision, training, batch=3, seq_len=1)
for impl in ("foreach", "for-loop"):
    narrow = small(OLMO2, layers=4) | {"hidden_size": 8, "intermediate_size": 64, "num_attention_heads": 1}
    adafactor = {"optimizer": "adafactor", "optimizer_impl": impl, "checkpointing": "full"}
    train("olmo2-narrow", narrow | {"num_key_value_heads": 1, "head_dim": 8}, "bf16-mixed", adafactor, seq_len=16)

# Optimizers of other packages (apollo-torch, galore-torch, adam-mini, bitsandbytes, pytorch-optimizer): their own code,
# with stand-ins for kernels that work in place.
PACKAGES: dict[str, Config] = {
    "apollo": {"rank": 16}, "galore": {"rank": 16}, "adam-mini": {}, "adamw-8bit": {}, "lion-8bit": {},
    "paged-adamw-8bit": {}, "paged-adamw-32bit": {},
}  # fmt: skip
for optimizer, options in PACKAGES.items():
    for name, config in (("llama-s", LLAMA_S), ("gpt2-s", GPT2_S)):
        for precision in ("fp32", "bf16", "bf16-master"):
            train(name, config, precision, {"optimizer": optimizer, "optimizer_options": options}, batch=1, seq_len=16)
    if optimizer != "adam-mini":  # its code fails for adapters, which are no whole heads
        train("qwen2-s", QWEN2_S, "bf16", {"optimizer": optimizer, **lora(r=8)}, batch=1, seq_len=16)
for impl in ("foreach", "for-loop"):
    for name, config in (("llama-s", LLAMA_S), ("gpt2-s", GPT2_S)):
        for precision in ("fp32", "bf16"):
            lamb = {"optimizer": "lamb", "optimizer_impl": impl}
            train(name, config, precision, lamb, batch=1, seq_len=16)

# Liger's kernels and its fused loss (needs liger-kernel and triton): its own Python, the kernels not launched.
LIGER: dict[str, Config] = {
    "liger": {"liger": True}, "fused-loss": {"loss": "fused"}, "liger+fused-loss": {"liger": True, "loss": "fused"},
}  # fmt: skip
_LIGER_MODELS = {
    "llama-s": LLAMA_S, "qwen2-s": QWEN2_S, "mistral-w": MISTRAL_W, "gemma2-s": small(GEMMA2) | {"head_dim": 32},
    "olmo2-s": small(OLMO2), "smollm3-s": small(SMOLLM3),
}  # fmt: skip
for what, fused in LIGER.items():
    for name, config in _LIGER_MODELS.items():
        for precision in ("bf16", "bf16-mixed"):
            train(f"{name} {what}", config, precision, fused)
    train(f"llama-s {what}", LLAMA_S, "fp32", fused)
    train(f"llama-tied {what}", small(LLAMA_3_8B, tie_word_embeddings=True), "bf16", {"checkpointing": "full", **fused})
    train(f"llama-s {what}", LLAMA_S, "bf16", {**fused, **lora(r=8)})
    train(f"llama-s {what}", LLAMA_S, "fp16-mixed", {"grad_accumulation": 2, **fused})
    train(f"llama-s {what}", LLAMA_S, "bf16", {"activation_offload": True, **fused})
for kind, head in (("gemma", "GemmaForCausalLM"), ("gemma3_text", "Gemma3ForCausalLM"),
                   ("hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM"), ("exaone4", "Exaone4ForCausalLM")):  # fmt: skip
    one = small({"model_type": kind, "architectures": [head], "tie_word_embeddings": True, "pad_token_id": 0}) | {
        "sliding_window": 64, "max_position_embeddings": 4096,
    }  # fmt: skip
    train(f"{kind}-s liger", one, "bf16", {"liger": True, "loss": "fused"})
