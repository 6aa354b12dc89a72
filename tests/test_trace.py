"""The tracer against the record of published traces, and the few habits of torch on which it leans.

Expected values were made by an independent tracer (real model code on fake CUDA tensors, torch 2.13, transformers 5);
other versions of either may hold a few bytes more or less, so those comparisons are skipped for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from memcalc.allocator.replay import replay  # noqa: E402
from memcalc.errors import MemcalcError, ScenarioError  # noqa: E402
from memcalc.trace import trace  # noqa: E402
from memcalc.trace.ledger import Ledger  # noqa: E402

MiB = 1 << 20

recorded_versions = pytest.mark.skipif(
    not (torch.__version__.startswith("2.13.") and transformers.__version__.startswith("5.")),
    reason="the record was made with torch 2.13 and transformers 5",
)


def llama(**changes: Any) -> dict[str, Any]:
    """Llama-3.2-1B."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048,
        "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 64, "max_position_embeddings": 131072, "tie_word_embeddings": True,
    } | changes  # fmt: skip


LLAMA_2_7B = llama(
    vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_key_value_heads=32,
    head_dim=128, tie_word_embeddings=False,
)  # fmt: skip
LLAMA_3_8B = llama(
    hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, head_dim=128, tie_word_embeddings=False
)
GPT2 = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}
GPT2_MEDIUM = GPT2 | {"n_embd": 1024, "n_layer": 24, "n_head": 16}
QWEN = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
    "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}  # fmt: skip
BERT = {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
TINY = llama(
    vocab_size=1000, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16,
)  # fmt: skip


def training(config: dict[str, Any], precision: str, attention: str, batch: int, length: int, **options: Any) -> dict:
    return {
        "task": "train", "model": {"config": config}, "precision": precision, "attention": attention,
        "batch": batch, "seq_len": length, "training": options,
    }  # fmt: skip


def inference(config: dict[str, Any], batch: int, prompt: int, new: int, **options: Any) -> dict[str, Any]:
    return {
        "task": "infer", "model": {"config": config}, "precision": "bf16", "attention": "flash", "batch": batch,
        "inference": {"prompt_tokens": prompt, "new_tokens": new, "runtime": "transformers", **options},
    }  # fmt: skip


LORA = {"method": "lora", "lora": {"r": 16, "targets": "all-linear", "dropout": 0.05, "dtype": "fp32"}}

# name: (scenario, peak bytes, phase, step, persistent bytes, peaks of single phases)
RECORD = {
    "gpt2 train fp32 adamw b1 s128": (
        training(GPT2, "fp32", "sdpa", 1, 128), 2488798208, "optimizer", 1, 1991036928,
        {"load": 497759232, "iter1.fwd": 684704256, "iter1.bwd": 1304300544, "end": 1493279744},
    ),
    "gpt2 train amp flash adamw b2 s1024 accum4": (
        training(GPT2, "bf16-mixed", "flash", 2, 1024, grad_accumulation=4), 5109066240, "backward", 2, 1991036928, {},
    ),
    "gpt2-medium train fp32 adagrad b1 s128": (
        training(GPT2_MEDIUM, "fp32", "sdpa", 1, 128, optimizer="adagrad"), 7096465408, "optimizer", 1, 4257878016,
        {"opt_init": 2838585344, "iter1.fwd": 3250118144, "iter2.zero_grad": 4257880064},
    ),
    "llama2-7b train bf16 flash LoRA16 all-linear b4 s1024 ckpt": (
        training(LLAMA_2_7B, "bf16", "flash", 4, 1024, checkpointing="full", **LORA),
        16806431744, "backward", 2, 14116463616, {},
    ),
    "llama3.2-1b train fp32 auto(math: gqa) b1 s2048": (
        training(llama(), "fp32", "sdpa", 1, 2048), 33602734080, "backward", 2, 19773031424, {},
    ),
    "qwen2.5-0.5b train bf16 flash adamw b8 s2048 ckpt": (
        training(QWEN, "bf16", "flash", 8, 2048, checkpointing="full"), 33659076608, "backward", 2, 3952387072, {},
    ),
    "bert-base train mlm fp32 auto b8 s512": (
        training(BERT, "fp32", "sdpa", 8, 512), 5375169024, "backward", 2, 1752238080, {},
    ),
    "llama2-7b infer bf16 prefill b1 p4096 n32": (
        inference(LLAMA_2_7B, 1, 4096, 32), 16031228928, "prefill", 1, 13476832256,
        {"decode_first": 15659011072, "decode_last": 15674452992, "end": 15640602112},
    ),
    "llama3-8b infer bf16 prefill b1 p8192 n64 FULL-logits": (
        inference(LLAMA_3_8B, 1, 8192, 64, logits="all"), 19302786048, "prefill", 1, 16060523520, {},
    ),
    "llama3-8b infer bf16 b16 p1024 n1024": (
        inference(LLAMA_3_8B, 16, 1024, 1024), 20421159936, "decode", 1, 16060523520, {"prefill": 20154827776},
    ),
}  # fmt: skip


@recorded_versions
@pytest.mark.parametrize("name", RECORD)
def test_equals_the_record_to_the_byte(name: str) -> None:
    scenario, peak, phase, step, persistent, phases = RECORD[name]
    if scenario.get("training", {}).get("method") == "lora":
        pytest.importorskip("peft")
    found = trace(scenario)
    assert (found.tensors, found.phase, found.step, found.persistent) == (peak, phase, step, persistent)
    assert {key: found.phases[key] for key in phases} == phases
    assert sum(found.at_peak.values()) == found.tensors


def _sample() -> dict[str, dict[str, Any]]:
    """The smallest training (with AdamW and torch's own loss: others may need a package) and inference case of every
    family on record."""
    smallest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted((Path(__file__).parent / "data").glob("traces*.json")):
        for case in json.loads(path.read_text("utf-8")):
            training = case["scenario"].get("training", {})
            if training.get("optimizer", "adamw") != "adamw" or training.get("liger") or "loss" in training:
                continue
            model = case["scenario"]["model"]
            if "config" not in model:  # torchvision's and timm's: packages that nothing else needs
                continue
            kind = (model["config"]["model_type"], case["scenario"]["task"])
            held = smallest.get(kind)
            if held is None or case["expect"]["tensors"] < held["expect"]["tensors"]:
                smallest[kind] = case
    return {case["name"]: case for case in smallest.values()}


SAMPLE = _sample()


@recorded_versions
@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_of_the_record_is_traced_anew(name: str) -> None:
    case = SAMPLE[name]
    method = case["scenario"].get("training", {}).get("method")
    if method in ("lora", "qlora", "dora"):
        pytest.importorskip("peft")
    if method == "qlora" or case["scenario"].get("inference", {}).get("weights", "same") != "same":
        pytest.importorskip("bitsandbytes")
    found = trace(case["scenario"]).expect()
    for part in ("parameters", "persistent", "tensors", "phase", "step", "at_peak"):
        assert found[part] == case["expect"][part], part


def test_the_same_scenario_gives_the_same_log() -> None:
    scenario = training(TINY, "bf16-mixed", "sdpa", 2, 100, checkpointing="full")
    assert trace(scenario).events == trace(scenario).events


def test_persistent_of_adamw_by_hand() -> None:
    # TINY: embedding 1000*64 (tied); a layer: q 64*64, k and v 32*64, o 64*64, three of 160*64, two norms of 64.
    layer = [64 * 64, 32 * 64, 32 * 64, 64 * 64, 160 * 64, 160 * 64, 64 * 160, 64, 64]
    sizes = [1000 * 64, *layer, *layer, 64]
    blocks = sum(-(-4 * n // 512) * 512 for n in sizes)
    found = trace(training(TINY, "fp32", "sdpa", 1, 16))
    assert found.parameters["total"] == sum(sizes)
    # Weights, gradients, two states each; and two buffers of the rotary embedding, one block each.
    assert found.persistent == 4 * blocks + 2 * 512
    assert found.phases["load"] == blocks + 2 * 512


def test_master_weights_by_hand() -> None:
    # 2 + 2 + 4 + 8 bytes a parameter; every tensor of TINY except the norms fills whole blocks also in 16 bits.
    found = trace(training(TINY, "bf16-master", "sdpa", 1, 16, optimizer_impl="fused"))
    norms, count = 5, 20
    total = found.parameters["total"]
    narrow = 2 * (total - norms * 64) + norms * 512
    wide = 4 * (total - norms * 64) + norms * 512
    # The fused step keeps its counters on the device, one block for each of the tensors.
    assert found.parameters["tensors"] == count
    assert found.persistent == 2 * narrow + 3 * wide + 2 * 512 + count * 512


def test_sum_of_gradients_is_in_place_unless_the_first_is_a_view() -> None:
    def newborn(first_is_view: bool) -> int:
        ledger = Ledger()
        leaf = torch.empty(256, 256, device="meta", requires_grad=True)
        with ledger:
            ledger.phase("forward")
            x = leaf * 1.0
            early = x * 3.0
            # Backward begins with what was made last.
            late = (x.t() * 2.0).t() if first_is_view else x * 2.0
            out = (early + late).sum()
            ledger.phase("backward")
            out.backward()
        ledger.close()
        return sum(record.op == "add.Tensor" and record.phase == "backward" for record in ledger.records)

    assert newborn(first_is_view=False) == 0
    assert newborn(first_is_view=True) == 1


def test_autocast_keeps_one_copy_of_each_weight_until_the_loss() -> None:
    plain = trace(training(TINY, "fp32", "eager", 1, 16))
    mixed = trace(training(TINY, "bf16-mixed", "eager", 1, 16))
    copies = [e for e in mixed.events if e.phase == "iter2.fwd" and e.size > 0 and e.op == "_to_copy.default"]
    weights = [e for e in copies if e.shape == (160, 64)]
    assert len(weights) == 4  # gate and up of two layers, once each
    assert mixed.persistent == plain.persistent


def test_torch_is_left_as_it_was() -> None:
    trace(training(TINY, "bf16-mixed", "sdpa", 1, 16))
    x, w = torch.ones(2, 4), torch.ones(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.nn.functional.linear(x, w).dtype is torch.bfloat16
        assert x.pow(2).dtype is torch.float32
        assert x.bfloat16().pow(2).dtype is torch.bfloat16  # CUDA's rule would make it fp32
    kept = torch.nn.functional.dropout(torch.ones(8, device="meta"), 0.5)
    assert kept.shape == (8,)


def test_log_feeds_the_simulated_allocator() -> None:
    found = trace(training(TINY, "fp32", "sdpa", 2, 64))
    result = replay(found.log)
    assert result.tensors == found.tensors
    assert result.allocated >= found.tensors
    assert result.reserved % (2 * MiB) == 0
    assert result.reserved >= result.allocated


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"precision": "fp8"}, "precision"),
        ({"training": {"optimizer": "sgdd"}}, "training.optimizer"),
        ({"training": {"optimizer": "rmsprop", "optimizer_impl": "fused"}}, "training.optimizer_impl"),
        ({"training": {"checkpointing": "selective"}}, "training.checkpointing"),
    ],
)
def test_what_cannot_be_followed_is_an_error_that_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        trace(training(TINY, "bf16", "sdpa", 1, 16) | change)
    assert caught.value.field == field


def test_unknown_model_type_is_an_error() -> None:
    with pytest.raises(MemcalcError):
        trace(training({"model_type": "no-such-family"}, "bf16", "sdpa", 1, 16))
