"""Models with recurrent states: what they keep for a sequence, by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.inference.room import curves
from memcalc.solve.axes import axis
from memcalc.solve.grid import grid

MAMBA = "mamba-130m-hf"
STATES = 24 * (1536 * 4 * 2 + 1536 * 16 * 4)
"""Bytes a sequence: layers, inner width, taps in bf16 and state in fp32."""


def run(model: str = MAMBA, **more: Any) -> memcalc.Estimate:
    inference = {"prompt_tokens": 64, "new_tokens": 9} | more.pop("inference", {})
    return memcalc.estimate({"model": model, "inference": inference, **more})


def test_the_cache_is_the_same_at_every_length() -> None:
    for prompt in (8, 64, 512):
        found = run(inference={"prompt_tokens": prompt}, batch=2)
        assert found.component_peak["kv_cache"] == 2 * STATES
        assert found.runtime is not None
        assert found.runtime["kv_bytes_per_token"] == 0
        assert found.runtime["kv_bytes_per_sequence"] == found.runtime["state_bytes_per_sequence"] == STATES


def test_decode_does_not_grow_with_the_prompt() -> None:
    """Only the prompt's ids, 8 bytes a token, are still held."""
    levels = [
        next(one["tensors"] for one in run(inference={"prompt_tokens": prompt}).phases if one["name"] == "decode")
        for prompt in (64, 640)
    ]
    assert levels[1] - levels[0] == (640 - 64) * 8


def test_the_scan_of_a_prompt_is_there_at_once() -> None:
    """Three fp32 tensors of batch × inner width × tokens × state in one layer."""
    grid = 1536 * 512 * 16 * 4
    found = run(inference={"prompt_tokens": 512})
    assert 3 * grid < found.at_peak["temporary"] < 3.5 * grid  # and one value for each channel and token, ten times


def test_the_curves_of_a_constant_cache() -> None:
    scenario = {"model": MAMBA, "inference": {"prompt_tokens": 64, "new_tokens": 9}}
    found = curves(scenario, memcalc.estimate(scenario).as_dict())
    assert found is not None
    assert set(found.by_length) == {STATES}
    assert found.by_count[found.counts.index(1)] == STATES


def test_a_hybrid_keeps_tokens_in_its_attention_layers_only() -> None:
    """Jamba: 4 of 32 layers attend, with 8 heads of 128 for keys and values; 28 scan 8,192 channels."""
    found = run("Jamba-v0.1")
    states = 28 * (8192 * 4 * 2 + 8192 * 16 * 4)
    assert found.runtime is not None
    assert found.runtime["kv_bytes_per_token"] == 4 * 2 * 8 * 128 * 2
    assert found.runtime["state_bytes_per_sequence"] == states
    assert found.runtime["kv_bytes_per_sequence"] == states + 4 * 2 * 8 * 128 * 2 * (64 + 8)
    # For a moment a layer's old keys, 71 tokens, lie beside the joined ones; a static cache is written in place.
    assert found.component_peak["kv_cache"] == found.runtime["kv_bytes_per_sequence"] + 71 * 8 * 128 * 2
    static = run("Jamba-v0.1", inference={"kv_cache": "static"})
    assert static.component_peak["kv_cache"] == found.runtime["kv_bytes_per_sequence"]


def test_a_matrix_for_each_head_of_the_delta_rule() -> None:
    """Qwen3-Next: 36 of 48 layers have 32 value heads of 128 × 128 in fp32 and a convolution over (16 + 16 + 32) · 128
    channels; 12 attend, with 2 heads of 256."""
    found = run("Qwen3-Next-80B-A3B")
    states = 36 * (8192 * 4 * 2 + 32 * 128 * 128 * 4)
    assert found.runtime is not None
    assert found.runtime["state_bytes_per_sequence"] == states
    assert found.runtime["kv_bytes_per_token"] == 12 * 2 * 2 * 256 * 2
    assert found.parameters["total"] == 79674391296
    assert found.parameters["active"] == 3874929408  # the "3B active" of its name, embeddings included


def test_bamba_and_granite_4_keep_states_in_nine_layers_of_ten() -> None:
    """Bamba-9B: 29 of 32 layers have 128 heads of 64 × 128 in fp32 and a convolution over (8,192 + 2 · 128) channels;
    3 attend, with 8 heads of 128. Granite 4.0 H Tiny: 36 of 40, 48 heads; 4 attend, with 4 heads of 128."""
    for model, layers, heads, tokens in (("Bamba-9B", 29, 128, 3 * 8), ("granite-4.0-h-tiny", 36, 48, 4 * 4)):
        found = run(model)
        assert found.runtime is not None
        states = layers * ((heads * 64 + 2 * 128) * 4 * 2 + heads * 64 * 128 * 4)
        assert found.runtime["state_bytes_per_sequence"] == states
        assert found.runtime["kv_bytes_per_token"] == tokens * 2 * 128 * 2


def test_lfm2_keeps_the_last_inputs_of_its_convolutions() -> None:
    """1.2B: 10 of 16 blocks keep 3 inputs of 2,048 channels in bf16; 6 attend, with 8 heads of 64."""
    found = run("LFM2-1.2B")
    assert found.runtime is not None
    assert found.runtime["state_bytes_per_sequence"] == 10 * 2048 * 3 * 2
    assert found.runtime["kv_bytes_per_token"] == 6 * 2 * 8 * 64 * 2


NEMOTRON_H = {
    "architectures": ["NemotronHForCausalLM"], "model_type": "nemotron_h", "vocab_size": 512, "hidden_size": 64,
    "intermediate_size": 128, "hybrid_override_pattern": "M-M*-", "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 32, "mamba_num_heads": 8, "mamba_head_dim": 16, "n_groups": 2, "ssm_state_size": 24, "chunk_size": 16,
}  # fmt: skip


def test_a_layer_of_nemotron_h_does_one_thing() -> None:
    """Two mixers of 8 heads of 16 × 24 and (128 + 2 · 2 · 24) channels, one attention with 2 key heads of 32."""
    found = memcalc.estimate({"model": {"config": NEMOTRON_H}, "inference": {"prompt_tokens": 64, "new_tokens": 9}})
    assert found.runtime is not None
    assert found.runtime["state_bytes_per_sequence"] == 2 * ((128 + 96) * 4 * 2 + 8 * 16 * 24 * 4)
    assert found.runtime["kv_bytes_per_token"] == 2 * 2 * 32 * 2


def test_what_fused_kernels_would_keep_is_said() -> None:
    """Mamba-Codestral-7B, 2 × 1,024 tokens in bf16: 64 layers of (8,192 + 10,240 + 128) projected values and 8,192 of
    the result, 2 bytes each, and 8 groups' numbers of 4 bytes: 6.54 GiB; Mamba-1's kernels were not read."""
    scenario = {"task": "train", "precision": "bf16", "batch": 2, "seq_len": 1024}
    found = memcalc.estimate({"model": "Mamba-Codestral-7B-v0.1", **scenario}).assumptions
    assert 64 * 2048 * ((18560 + 8192) * 2 + 8 * 4) == 7017070592
    assert any("would keep 6.54 GiB" in one for one in found)
    rwkv = memcalc.estimate({"model": "rwkv-4-169m-pile", **scenario | {"seq_len": 16}}).assumptions
    assert any("would keep 1.69 MiB" in one for one in rwkv)  # 12 layers × 32 tokens × 3 × 768 × 2 bytes
    mamba = memcalc.estimate({"model": MAMBA, **scenario | {"seq_len": 16}}).assumptions
    assert not any("would keep" in one for one in mamba)


ZAMBA2 = {
    "architectures": ["Zamba2ForCausalLM"], "model_type": "zamba2", "vocab_size": 512, "hidden_size": 64,
    "intermediate_size": 128, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid", "hybrid"],
    "num_attention_heads": 4, "n_mamba_heads": 8, "mamba_d_state": 24, "num_mem_blocks": 2, "adapter_rank": 8,
}  # fmt: skip


def test_shared_blocks_are_counted_once_and_cached_for_every_layer_that_hears_them() -> None:
    """Three layers hear two blocks (their width doubled: 4 heads of 32); five mixers of 8 heads of 16 × 24."""
    found = memcalc.estimate({"model": {"config": ZAMBA2}, "inference": {"prompt_tokens": 64, "new_tokens": 9}})
    assert found.runtime is not None
    assert found.runtime["state_bytes_per_sequence"] == 5 * ((128 + 48) * 4 * 2 + 8 * 16 * 24 * 4)
    assert found.runtime["kv_bytes_per_token"] == 3 * 2 * 4 * 32 * 2
    attention = 3 * 128 * 128 + 128 * 64
    block = attention + 64 * 256 + 128 * 64 + 128 + 64  # feed-forward and two norms
    adapters, linears = 3 * (64 * 8 + 8 * 256), 3 * 64 * 64
    mixer = 64 * (128 + 176 + 8) + 176 * 4 + 176 + 3 * 8 + 128 + 128 * 64 + 64
    assert found.parameters["total"] == 512 * 64 + 2 * block + adapters + linears + 5 * mixer + 64


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"inference": {"weights": "nf4"}}, "inference.weights"),
        ({"inference": {"kv_cache": "static"}}, "inference.kv_cache"),
        ({"task": "train", "training": {"checkpointing": "full"}}, "training.checkpointing"),
        ({"task": "train", "training": {"method": "lora", "lora": {"targets": ["q_proj"]}}}, "training.method"),
    ],
)
def test_what_zamba2_refuses(more: dict[str, Any], field: str) -> None:
    with pytest.raises(memcalc.ScenarioError) as caught:
        memcalc.estimate({"model": {"config": ZAMBA2}, **more})
    assert caught.value.field == field
    assert caught.value.choices


def test_experts_of_nemotron_h_are_refused_by_name() -> None:
    config = NEMOTRON_H | {"hybrid_override_pattern": "MEM*E"}
    with pytest.raises(memcalc.ModelError, match="layers of experts have no program") as caught:
        memcalc.estimate({"model": {"config": config}})
    assert caught.value.field == "model.config.hybrid_override_pattern"


def test_mamba_in_training_keeps_every_token_s_state() -> None:
    """24 layers of 1,536 channels: for every value of a token's state its transition, its input and itself in fp32, and
    the copy in bf16 that is read; what is kept once a channel is a fifth of that at most."""
    sizes = [
        memcalc.estimate({"model": MAMBA, "task": "train", "precision": "bf16", "seq_len": length}).component_peak
        for length in (64, 128)
    ]
    each = (sizes[1]["activations"] - sizes[0]["activations"]) / 64
    assert 24 * 1536 * 16 * (3 * 4 + 2) < each < 1.2 * 24 * 1536 * 16 * (3 * 4 + 2)


def test_the_chunks_of_mamba_2_in_training() -> None:
    """A chunk more keeps a heads × 256 × 256 matrix twice and its product in fp32, in each of 64 layers."""
    sizes = [
        memcalc.estimate({"model": "Mamba-Codestral-7B-v0.1", "task": "train", "precision": "bf16", "seq_len": length})
        for length in (1024, 1280)
    ]
    each = sizes[1].component_peak["activations"] - sizes[0].component_peak["activations"]
    assert each > 64 * 128 * 256 * 256 * 3 * 4


FALCON_H1 = {
    "architectures": ["FalconH1ForCausalLM"], "model_type": "falcon_h1", "vocab_size": 512, "hidden_size": 64,
    "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "mamba_d_ssm": 128, "mamba_n_heads": 8, "mamba_n_groups": 1, "mamba_d_state": 32, "max_position_embeddings": 4096,
}  # fmt: skip


def test_a_block_may_keep_both_tokens_and_states() -> None:
    """Falcon-H1: both layers have 2 key heads of 16 and a mixer of 8 heads of 16 × 32 and (128 + 2 · 32) channels."""
    scenario = {"model": {"config": FALCON_H1}, "inference": {"prompt_tokens": 64, "new_tokens": 9}}
    found = memcalc.estimate(scenario)
    assert found.runtime is not None
    assert found.runtime["state_bytes_per_sequence"] == 2 * (192 * 4 * 2 + 8 * 16 * 32 * 4)
    assert found.runtime["kv_bytes_per_token"] == 2 * 2 * 2 * 16 * 2


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"inference": {"kv_cache": "static"}}, "inference.kv_cache"),
        ({"task": "train", "training": {"method": "lora", "lora": {"targets": ["out_proj"]}}}, "training.lora.targets"),
    ],
)
def test_what_falcon_h1_refuses(more: dict[str, Any], field: str) -> None:
    with pytest.raises(memcalc.ScenarioError) as caught:
        memcalc.estimate({"model": {"config": FALCON_H1}, **more})
    assert caught.value.field == field


def test_many_chunks_are_taken_together() -> None:
    """Training: each more chunk of 64 tokens keeps as much as the one before, also past those run one by one."""
    config = {
        "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "vocab_size": 512, "hidden_size": 64,
        "num_hidden_layers": 1, "layer_types": ["linear_attention"], "mlp_only_layers": [0], "intermediate_size": 64,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 32, "linear_value_head_dim": 32,
    }  # fmt: skip
    kept = []
    for chunks in (4, 5, 6, 7, 40, 41):
        scenario = {"model": {"config": config}, "task": "train", "precision": "bf16", "seq_len": 64 * chunks}
        kept.append(memcalc.estimate(scenario).component_peak["activations"])
    each = kept[1] - kept[0]
    assert each > 0
    for more in (kept[2] - kept[1], kept[3] - kept[2], (kept[4] - kept[3]) / 33, kept[5] - kept[4]):
        assert more == pytest.approx(each, rel=3e-3)  # small tensors are rounded up; one state is 1.3 %


def test_rwkv_keeps_five_numbers_a_channel() -> None:
    """169m: 12 layers of 768 channels; the last token's inputs in bf16 twice, the recurrence's three in fp32."""
    found = run("rwkv-4-169m-pile", batch=2)
    states = 12 * 768 * (2 * 2 + 3 * 4)
    assert found.component_peak["kv_cache"] == 2 * states
    assert found.runtime is not None
    assert found.runtime["state_bytes_per_sequence"] == states
    assert found.runtime["kv_bytes_per_token"] == 0


def test_rwkv_keeps_as_much_for_every_token() -> None:
    """Training: the loop's first and last tokens are run, those between taken together."""
    kept = [
        memcalc.estimate({"model": "rwkv-4-169m-pile", "task": "train", "precision": "bf16", "seq_len": length})
        for length in (8, 9, 100, 101)
    ]
    sizes = [one.component_peak["activations"] for one in kept]
    each = sizes[1] - sizes[0]
    assert each > 12 * 768 * 4 * 10  # of every layer's loop alone at least ten tensors in fp32
    assert sizes[3] - sizes[2] == pytest.approx(each, rel=1e-3)
    assert (sizes[2] - sizes[1]) / 91 == pytest.approx(each, rel=1e-3)


@pytest.mark.parametrize("model", [MAMBA, "Mamba-Codestral-7B-v0.1", "rwkv-4-169m-pile", "LFM2-350M"])
def test_quantised_training_is_refused_where_it_was_not_followed(model: str) -> None:
    lora = {"method": "qlora", "lora": {"targets": ["key" if "rwkv" in model else "in_proj"]}}
    with pytest.raises(memcalc.ScenarioError, match="quantised weights were not followed") as caught:
        memcalc.estimate({"model": model, "task": "train", "precision": "bf16", "training": lora})
    assert caught.value.field == "training.method"


@pytest.mark.parametrize("inference", [{"kv_cache": "static"}, {"weights": "nf4"}])
def test_what_rwkv_refuses(inference: dict[str, Any]) -> None:
    with pytest.raises(memcalc.ScenarioError) as caught:
        run("rwkv-4-169m-pile", inference=inference)
    assert caught.value.field == f"inference.{next(iter(inference))}"
    assert list(caught.value.choices) == ["same"]


def test_quantised_weights_where_the_code_has_a_way_for_them() -> None:
    whole, four_bit = run("Jamba-v0.1"), run("Jamba-v0.1", inference={"weights": "nf4"})
    linear = 28 * (4096 * 16384 + 8192 * (256 + 32) + 256 * 8192 + 8192 * 4096) + 4 * 4096 * (4096 * 2 + 1024 * 2)
    linear += 16 * 3 * 4096 * 14336  # the dense feed-forwards; experts and the head stay as they are
    saved = whole.persistent - four_bit.persistent
    assert saved == pytest.approx(linear * (2 - 0.5 - 4 / 64), rel=1e-3)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (
            {"task": "train", "training": {"method": "lora", "lora": {"targets": "all-linear"}}},
            "training.lora.targets",
        ),
        ({"task": "train", "training": {"method": "lora", "lora": {"targets": ["dt_proj"]}}}, "training.lora.targets"),
        ({"inference": {"runtime": "vllm"}}, "inference.runtime"),
        ({"inference": {"runtime": "llama.cpp"}}, "inference.runtime"),
        ({"inference": {"kv_cache": "int4"}}, "inference.kv_cache"),
        ({"inference": {"weights": "nf4"}}, "inference.weights"),
        ({"parallel": {"tensor": 2}}, "parallel.tensor"),
    ],
)
def test_what_was_not_followed_is_refused_by_name(more: dict[str, Any], field: str) -> None:
    with pytest.raises(memcalc.ScenarioError) as caught:
        run(**more)
    assert caught.value.field == field
    assert caught.value.choices


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"inference": {"runtime": "vllm"}}, "inference.runtime"),
        (
            {"task": "train", "training": {"method": "lora", "lora": {"targets": ["gate_proj"]}}},
            "training.lora.targets",
        ),
        ({"task": "train", "parallel": {"tensor": 2}}, "parallel.tensor"),
    ],
)
def test_what_qwen3_next_refuses(more: dict[str, Any], field: str) -> None:
    with pytest.raises(memcalc.ScenarioError) as caught:
        run("Qwen3-Next-80B-A3B", **more)
    assert caught.value.field == field
    assert caught.value.choices


def test_a_map_of_what_is_refused_everywhere_gives_the_reason() -> None:
    lora = {"method": "lora", "lora": {"targets": ["out_proj"]}}
    asked = {"model": MAMBA, "task": "train", "training": lora, "hardware": {"gpu": "24GB"}}
    with pytest.raises(memcalc.ScenarioError, match="PEFT refuses adapters on out_proj"):
        grid(asked, axis(asked, "batch"), axis(asked, "seq_len"))


def test_a_sweep_agrees_with_single_estimates() -> None:
    grid = memcalc.sweep({"model": MAMBA, "inference": {"new_tokens": 9}}, batch=[1, 3], prompt_tokens=[1, 40, 500])
    for i, batch in enumerate((1, 3)):
        for j, prompt in enumerate((1, 40, 500)):
            assert grid.tensors[i, j] == run(batch=batch, inference={"prompt_tokens": prompt}).peak["tensors"]
