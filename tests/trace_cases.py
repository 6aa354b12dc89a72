"""The cases that ``record_traces.py`` traces: small models over all settings, and some of middle size.

Each case is a name and a contract scenario. ``train`` and ``infer`` add one; configurations hold what decides memory.
"""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
CASES: dict[str, dict[str, Any]] = {}

GPT2: Config = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 768,
    "n_layer": 12, "n_head": 12, "activation_function": "gelu_new", "resid_pdrop": 0.1, "embd_pdrop": 0.1,
    "attn_pdrop": 0.1, "tie_word_embeddings": True,
}  # fmt: skip
GPT2_MEDIUM = GPT2 | {"n_embd": 1024, "n_layer": 24, "n_head": 16}
LLAMA_3_8B: Config = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 128, "hidden_act": "silu", "max_position_embeddings": 8192, "tie_word_embeddings": False,
}  # fmt: skip
LLAMA_32_1B = LLAMA_3_8B | {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "head_dim": 64,
    "max_position_embeddings": 131072, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA_2_7B = LLAMA_3_8B | {
    "vocab_size": 32000, "intermediate_size": 11008, "num_key_value_heads": 32, "max_position_embeddings": 4096,
}  # fmt: skip
QWEN25_05B = LLAMA_3_8B | {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
    "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
    "head_dim": 64, "max_position_embeddings": 32768, "tie_word_embeddings": True,
}  # fmt: skip
QWEN3_8B = LLAMA_3_8B | {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 151936, "intermediate_size": 12288,
    "num_hidden_layers": 36, "max_position_embeddings": 40960,
}  # fmt: skip
MISTRAL_7B = LLAMA_3_8B | {
    "architectures": ["MistralForCausalLM"], "model_type": "mistral", "vocab_size": 32000,
    "max_position_embeddings": 32768, "sliding_window": None,
}  # fmt: skip


def small(config: Config, layers: int = 2, **changes: Any) -> Config:
    """A narrow model of the same family: seconds to trace, every rule at work."""
    if config["model_type"] == "gpt2":
        return config | {
            "vocab_size": 1999,
            "n_embd": 192,
            "n_head": 6,
            "n_positions": 2048,
            "n_layer": layers,
            **changes,
        }
    return config | {
        "vocab_size": 1999, "hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 8,
        "num_key_value_heads": 2, "head_dim": 32, "num_hidden_layers": layers, **changes,
    }  # fmt: skip


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "+".join(f"{key}={','.join(one) if isinstance(one, list) else one}" for key, one in value.items())
    return str(value)


def train(
    name: str,
    config: Config,
    batch: int,
    length: int,
    precision: str = "bf16",
    attention: str = "sdpa",
    mask: str = "",
    **options: Any,
) -> None:
    """Add a training case; ``options`` are fields of ``training``."""
    scenario = {
        "task": "train", "model": {"config": config}, "precision": precision, "batch": batch, "seq_len": length,
        "attention": attention, "training": {"optimizer": "adamw", "optimizer_impl": "foreach", **options},
    }  # fmt: skip
    if mask:
        scenario["attention_mask"] = mask
    extra = " ".join(_plain(one) for one in options.values())
    CASES[f"{name} train {precision} {attention}{' padded' if mask else ''} b{batch} s{length} {extra}".strip()] = (
        scenario
    )


def infer(
    name: str,
    config: Config,
    batch: int,
    prompt: int,
    new: int,
    precision: str = "bf16",
    attention: str = "sdpa",
    mask: str = "",
    logits: str = "last",
    runtime: str = "transformers",
) -> None:
    """Add an inference case."""
    scenario = {
        "task": "infer", "model": {"config": config}, "precision": precision, "batch": batch, "attention": attention,
        "inference": {"runtime": runtime, "prompt_tokens": prompt, "new_tokens": new, "logits": logits},
    }  # fmt: skip
    if mask:
        scenario["attention_mask"] = mask
    CASES[
        f"{name} infer {precision} {attention}{' padded' if mask else ''} b{batch} p{prompt} n{new} {logits} {runtime}"
    ] = scenario


def lora(targets: Any = "all-linear", r: int = 16, dropout: float = 0.0, dtype: str = "fp32") -> Config:
    """The fields of ``training`` for LoRA."""
    return {"method": "lora", "lora": {"r": r, "targets": targets, "dropout": dropout, "dtype": dtype}}


LLAMA_S, LLAMA_TIED = small(LLAMA_3_8B), small(LLAMA_3_8B, tie_word_embeddings=True)
GPT2_S, GPT2_PLAIN = small(GPT2), small(GPT2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
QWEN2_S, QWEN3_S, MISTRAL_S = small(QWEN25_05B), small(QWEN3_8B), small(MISTRAL_7B)
MISTRAL_W = small(MISTRAL_7B, sliding_window=64)
FAMILIES = [
    ("gpt2-s", GPT2_S),
    ("llama-s", LLAMA_S),
    ("mistral-s", MISTRAL_S),
    ("qwen2-s", QWEN2_S),
    ("qwen3-s", QWEN3_S),
]

# A broad sample first
for n, c in FAMILIES:
    train(n, c, 3, 777, "bf16")
for n, c in FAMILIES:
    train(n, c, 2, 129, "fp32")
for n, c in FAMILIES:
    train(n, c, 2, 200, "bf16-mixed")
for n, c in FAMILIES:
    infer(n, c, 2, 100, 32)
train("llama-s", LLAMA_S, 2, 333, "bf16", "eager")
train("gpt2-s", GPT2_S, 2, 333, "bf16", "eager")
train("llama-s", LLAMA_S, 2, 333, "bf16", checkpointing="full")
train("gpt2-s", GPT2_S, 2, 333, "bf16", checkpointing="full")
train("llama-s", LLAMA_S, 2, 200, "bf16", **lora(["q_proj", "v_proj"], dropout=0.1))
train("llama-s", LLAMA_S, 2, 200, "bf16-mixed", **lora())
train("llama-s", LLAMA_S, 2, 200, "bf16-master")
train("gpt2-s", GPT2_S, 2, 100, "fp16-master")
train("llama-s", LLAMA_S, 2, 200, "bf16", mask="padded")
train("gpt2-s", GPT2_S, 2, 200, "fp32", mask="padded")
train("llama-s", LLAMA_S, 2, 200, "fp32", "efficient", "padded")
train("qwen2-s", QWEN2_S, 1, 200, "bf16", grad_accumulation=4)
train("llama-tied", LLAMA_TIED, 2, 200, "bf16")
train("llama-tied", LLAMA_TIED, 2, 33, "fp32", optimizer_impl="fused")
train("mistral-w", MISTRAL_W, 2, 200, "bf16")
infer("mistral-w", MISTRAL_W, 2, 200, 32)
infer("llama-s", LLAMA_S, 3, 777, 1, "fp16", logits="all")
infer("gpt2-s", GPT2_S, 3, 777, 2, "fp32", "eager")
train("llama3.2-1b", LLAMA_32_1B, 2, 1024, "bf16-mixed", checkpointing="full")
train("mistral-7b", MISTRAL_7B, 1, 1024, "bf16", optimizer_impl="fused")

# Precisions x families x kernels
for n, c in FAMILIES:
    for p in ("fp16", "fp16-mixed", "bf16-master", "fp16-master"):
        train(n, c, 1, 255, p)
    for p, a in (
        ("fp32", "math"),
        ("fp32", "eager"),
        ("bf16", "math"),
        ("bf16", "efficient"),
        ("bf16-mixed", "eager"),
        ("fp16", "eager"),
        ("fp16-mixed", "eager"),
        ("bf16-mixed", "math"),
        ("bf16-mixed", "efficient"),
    ):
        train(n, c, 2, 127, p, a)
    for p, a in (("bf16", "sdpa"), ("bf16", "eager"), ("fp32", "efficient"), ("bf16-mixed", "sdpa")):
        train(n, c, 2, 250, p, a, "padded")
    for p in ("fp32", "bf16-mixed"):
        train(n, c, 2, 300, p, checkpointing="full")
    train(n, c, 2, 130, "bf16", "eager", "padded", checkpointing="full")
    train(n, c, 2, 64, "bf16", grad_accumulation=4, checkpointing="full")
    train(n, c, 2, 64, "bf16-mixed", grad_accumulation=4)
    train(n, c, 2, 64, "fp32", zero_grad="keep")
    train(n, c, 2, 90, "bf16-master", grad_accumulation=4)

# Optimizers
for n, c in (("llama-s", LLAMA_S), ("gpt2-s", GPT2_S), ("llama-tied", LLAMA_TIED)):
    for o in ("adamw", "adam", "sgd", "sgd-momentum", "adagrad", "rmsprop", "adafactor", "adafactor-hf"):
        for impl in ("foreach", "for-loop") + (("fused",) if o in ("adamw", "adam", "sgd", "sgd-momentum") else ()):
            train(n, c, 1, 16, "fp32" if n != "llama-s" else "bf16", optimizer=o, optimizer_impl=impl)
for impl in ("foreach", "fused", "for-loop"):
    train(
        "llama-s", LLAMA_S, 1, 16, "bf16", optimizer="adamw", optimizer_impl=impl, optimizer_options={"amsgrad": True}
    )
    train(
        "gpt2-s", GPT2_S, 1, 16, "fp32", optimizer="adam", optimizer_impl=impl, optimizer_options={"weight_decay": 0.01}
    )
    train("llama-s", LLAMA_S, 1, 16, "bf16-master", optimizer="adamw", optimizer_impl=impl)
    train("llama-s", LLAMA_S, 1, 16, "bf16-master", optimizer="sgd-momentum", optimizer_impl=impl)
train("llama-s", LLAMA_S, 1, 16, "fp32", optimizer="sgd-momentum", optimizer_options={"weight_decay": 0.01})
train(
    "llama-s",
    LLAMA_S,
    1,
    16,
    "fp32",
    optimizer="rmsprop",
    optimizer_options={"weight_decay": 0.01, "momentum": 0.9, "centered": True},
)
train("llama-s", LLAMA_S, 1, 16, "fp32", optimizer="adagrad", optimizer_options={"weight_decay": 0.01})
train("llama-s", LLAMA_S, 1, 16, "fp16-master", optimizer="adafactor-hf")
train("llama-s", LLAMA_S, 1, 16, "bf16", optimizer="adamw", zero_grad="keep", optimizer_impl="for-loop")

# Lora
for n, c in FAMILIES[1:]:
    train(n, c, 2, 150, "bf16", **lora())
    train(n, c, 2, 150, "bf16", **lora(dropout=0.1, dtype="bf16"))
    train(n, c, 2, 150, "fp32", **lora(["q_proj", "k_proj", "v_proj", "o_proj"], r=8, dropout=0.1))
train("llama-s", LLAMA_S, 2, 150, "bf16-mixed", **lora(dropout=0.1))
train("llama-s", LLAMA_S, 2, 150, "bf16", checkpointing="full", **lora(dropout=0.1))
train("llama-s", LLAMA_S, 2, 150, "bf16", checkpointing="full", **lora(["gate_proj", "down_proj"], dtype="bf16"))
train("gpt2-s", GPT2_S, 2, 150, "bf16", **lora(["c_attn"], dropout=0.1))
train("gpt2-s", GPT2_S, 2, 150, "fp32", **lora(["c_attn", "c_fc", "c_proj"]))
train("llama-s", LLAMA_S, 2, 150, "bf16", "eager", **lora(["up_proj"], r=4, dropout=0.1))
train("llama-s", LLAMA_S, 2, 150, "bf16", grad_accumulation=4, **lora(dropout=0.1))
train("llama-s", LLAMA_S, 2, 150, "bf16-mixed", checkpointing="full", **lora(["q_proj", "v_proj"]))
train("llama-tied", LLAMA_TIED, 2, 150, "bf16", **lora())

# Shapes, layers, heads
for L in (1, 3, 5):
    train(f"llama-L{L}", small(LLAMA_3_8B, L), 1, 101, "bf16")
    train(f"gpt2-L{L}", small(GPT2, L), 1, 101, "bf16-mixed")
    train(f"llama-L{L}", small(LLAMA_3_8B, L), 1, 101, "bf16", checkpointing="full")
train("gpt2-nodrop", GPT2_PLAIN, 2, 200, "bf16")
train("gpt2-nodrop", GPT2_PLAIN, 2, 200, "fp32")
train("gpt2-nodrop", GPT2_PLAIN, 2, 200, "bf16-mixed", "eager")
train("gpt2-nodrop", GPT2_PLAIN, 2, 200, "bf16", checkpointing="full")
train("gpt2-untied", small(GPT2, tie_word_embeddings=False), 2, 200, "bf16")
train("qwen2-tied", small(QWEN25_05B, tie_word_embeddings=True), 2, 200, "bf16-mixed")
train("qwen2-untied", small(QWEN25_05B, tie_word_embeddings=False), 2, 200, "bf16")
train("llama-mha", small(LLAMA_2_7B, num_key_value_heads=8), 2, 200, "fp32")
train("llama-mha", small(LLAMA_2_7B, num_key_value_heads=8), 2, 200, "bf16", "efficient")
train("llama-mha", small(LLAMA_2_7B, num_key_value_heads=8), 2, 200, "bf16-mixed", "eager")
train("llama-h20", small(LLAMA_3_8B, head_dim=20), 2, 200, "bf16")
train("llama-v50257", small(LLAMA_3_8B, vocab_size=50257), 3, 77, "fp16")
train("mistral-w", MISTRAL_W, 2, 60, "bf16")
train("mistral-w", MISTRAL_W, 2, 200, "fp32", "eager")
train("mistral-w", MISTRAL_W, 2, 200, "bf16", checkpointing="full")
train("mistral-w", MISTRAL_W, 2, 64, "bf16")
train("mistral-w", MISTRAL_W, 2, 200, "bf16-mixed", "sdpa", "padded")

# Inference
for n, c in [*FAMILIES, ("mistral-w", MISTRAL_W)]:
    for p in ("bf16", "fp32", "fp16"):
        infer(n, c, 2, 65, 32, p, "eager" if p == "fp16" else "sdpa")
    infer(n, c, 1, 300, 2, "bf16", "math")
    infer(n, c, 1, 300, 32, "bf16", "efficient")
    infer(n, c, 2, 300, 1, "bf16", logits="all")
    infer(n, c, 2, 300, 1, "bf16", runtime="forward")
    infer(n, c, 2, 77, 1, "fp32", "eager", runtime="forward")
    infer(n, c, 2, 77, 12, "bf16", mask="padded")
infer("llama-s", LLAMA_S, 16, 16, 500)
infer("gpt2-s", GPT2_S, 16, 16, 500)
infer("gpt2-s", GPT2_S, 4, 1000, 12, "fp16")
infer("llama-mha", small(LLAMA_2_7B, num_key_value_heads=8), 2, 300, 12, "fp32")

# Middle sizes
train("llama3-8b", LLAMA_3_8B, 1, 512, "bf16", checkpointing="full", optimizer="sgd", optimizer_impl="fused")
train("mistral-7b", MISTRAL_7B, 2, 777, "bf16", **lora(["q_proj", "v_proj"], dropout=0.1))
train("qwen2.5-0.5b", QWEN25_05B, 3, 777, "fp32")
train("qwen2.5-0.5b", QWEN25_05B, 3, 777, "bf16-master")
train("gpt2-medium", GPT2_MEDIUM, 3, 777, "fp16-mixed")
train("qwen3-8b", QWEN3_8B, 1, 777, "bf16-mixed", checkpointing="full")
train("llama3.2-1b", LLAMA_32_1B, 3, 777, "fp32", "eager")
train("mistral-7b", MISTRAL_7B | {"sliding_window": 4096}, 1, 6000, "bf16", checkpointing="full")
infer("mistral-7b", MISTRAL_7B | {"sliding_window": 4096}, 1, 6000, 64)
infer("mistral-7b", MISTRAL_7B, 3, 777, 64)
infer("qwen2.5-0.5b", QWEN25_05B, 8, 2048, 200, "fp32")
infer("qwen3-8b", QWEN3_8B, 2, 3000, 12, "bf16", "eager")
infer("llama3.2-1b", LLAMA_32_1B, 7, 333, 9, "fp16", mask="padded")
infer("gpt2-medium", GPT2_MEDIUM, 5, 555, 55)

# More optimizers (lion needs pytorch-optimizer)
for n, c in (("llama-s", LLAMA_S), ("gpt2-s", GPT2_S)):
    for p in ("bf16", "fp32"):
        for o in ("nadam", "adamax", "adadelta", "lion"):
            for impl in ("foreach", "for-loop"):
                train(n, c, 1, 16, p, optimizer=o, optimizer_impl=impl)
        train(n, c, 1, 16, p, optimizer="radam")
        train(n, c, 1, 16, p, optimizer="muon")
        train(n, c, 1, 16, p, optimizer="nadam", optimizer_options={"weight_decay": 0.01})
    train(n, c, 1, 16, "fp32", optimizer="muon", optimizer_impl="fused")
train("llama-s", LLAMA_S, 2, 150, "bf16-master", optimizer="muon")
train("llama3.2-1b", LLAMA_32_1B, 1, 128, "bf16", optimizer="muon")

# The head alone, recomputed attention, clipping and a moving average
for n, c in (("llama-s", LLAMA_S), ("gpt2-s", GPT2_S), ("llama-tied", LLAMA_TIED)):
    for p in ("bf16", "fp32", "bf16-mixed"):
        train(n, c, 2, 150, p, method="head")
        train(n, c, 2, 150, p, method="head", checkpointing="full")
        train(n, c, 2, 150, p, checkpointing="selective-attention")
    train(n, c, 2, 150, "bf16", mask="padded", checkpointing="selective-attention")
    train(n, c, 2, 150, "bf16", "math", checkpointing="selective-attention")
    train(n, c, 2, 150, "bf16", clip_grad=True)
    train(n, c, 2, 150, "bf16", optimizer_impl="fused", ema=True)
train("llama-s", LLAMA_S, 2, 150, "bf16", checkpointing="selective-attention", **lora())
train("qwen2.5-0.5b", QWEN25_05B, 3, 777, "bf16", checkpointing="selective-attention")

# DoRA, recomputed operators, activations in the computer's memory, and what they meet


def dora(targets: Any = "all-linear", r: int = 16, dropout: float = 0.0, dtype: str = "fp32") -> Config:
    """The fields of ``training`` for DoRA."""
    return lora(targets, r, dropout, dtype) | {"method": "dora"}


for n, c in (("gpt2-s", GPT2_S), ("llama-s", LLAMA_S), ("qwen2-s", QWEN2_S)):
    linear = ["c_attn", "c_proj", "c_fc"] if n == "gpt2-s" else "all-linear"
    for p in ("bf16", "fp32", "bf16-mixed", "fp16-master"):
        train(n, c, 2, 150, p, **dora(linear))
        train(n, c, 2, 150, p, **dora(linear, r=4, dropout=0.1))
        train(n, c, 2, 150, p, checkpointing="selective-ops")
        train(n, c, 2, 150, p, activation_offload=True)
    train(n, c, 2, 150, "bf16", **dora(linear, dtype="bf16"))
    train(n, c, 2, 150, "bf16", checkpointing="full", **dora(linear, dropout=0.1))
    train(n, c, 2, 150, "bf16", checkpointing="selective-ops", **dora(linear))
    train(n, c, 2, 150, "bf16", checkpointing="selective-ops", **lora(linear, dropout=0.1))
    train(n, c, 2, 150, "bf16", "eager", checkpointing="selective-ops")
    train(n, c, 2, 150, "bf16", "eager", checkpointing="selective-attention")
    train(n, c, 2, 150, "bf16", activation_offload=True, **lora(linear))
    train(n, c, 2, 150, "bf16", mask="padded", checkpointing="selective-ops", grad_accumulation=4)
    train(n, c, 2, 150, "bf16", clip_grad=True, grad_accumulation=4, optimizer_impl="fused")
train("llama3.2-1b", LLAMA_32_1B, 1, 1024, "bf16", checkpointing="selective-ops")
train("llama3.2-1b", LLAMA_32_1B, 1, 1024, "bf16", activation_offload=True, optimizer_impl="fused")
train("mistral-7b", MISTRAL_7B, 1, 512, "bf16", **dora(["q_proj", "v_proj"], dropout=0.1))
train("qwen2.5-0.5b", QWEN25_05B, 2, 512, "bf16-mixed", checkpointing="selective-ops")
