"""Checkpoints that were published quantised: what their quantization_config says decides the weights.

Sizes are those of published files (total_size of model.safetensors.index.json) where they could be found, else counted
by hand; the configurations are those of the named repositories.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

import memcalc
from memcalc.models import catalogue, describe, packed, portable
from memcalc.quantisation.modules import Modules, PatternError
from memcalc.question import Question
from memcalc.tensors.ops.quantised import QuantisedParameter
from memcalc.tensors.tensor import Parameter

Json = dict[str, Any]
GPTQ: Json = {"bits": 4, "group_size": 128, "damp_percent": 0.01, "desc_act": False, "static_groups": False,
              "sym": True, "true_sequential": True, "model_name_or_path": None, "quant_method": "gptq"}  # fmt: skip
AWQ: Json = {"bits": 4, "group_size": 128, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
             "zero_point": True}  # fmt: skip
NF4: Json = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4",
             "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16",
             "llm_int8_skip_modules": None}  # fmt: skip
MXFP4: Json = {"modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens",
                                          "lm_head"], "quant_method": "mxfp4"}  # fmt: skip
FP8_BLOCK: Json = {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [128, 128],
}


def compressed(num_bits: int, kind: str, strategy: str, group: int | None = None, **more: Any) -> Json:
    """A quantization_config as LLM Compressor writes it."""
    weights = {"num_bits": num_bits, "type": kind, "strategy": strategy, "group_size": group, "symmetric": True,
               "dynamic": False, "actorder": None, "block_structure": None}  # fmt: skip
    return {
        "quant_method": "compressed-tensors", "kv_cache_scheme": None, "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}, **more,
    }  # fmt: skip


def model(name: str, stored: Json, **more: Any) -> Json:
    """The catalogue's configuration with a quantization_config, as a scenario's model."""
    return {"config": {**catalogue.find(name).config, "quantization_config": stored, **more}}


def stored_bytes(what: Json, weights: str | None = None) -> int:
    """Bytes of all parameters as they are stored, without the allocator's rounding."""
    program = Question.read({"model": what, **({"inference": {"weights": weights}} if weights else {})}).program()

    def size(one: Parameter) -> int:
        if isinstance(one, QuantisedParameter):
            return sum(piece.bytes for piece in one.pieces)
        return one.count * one.format.size

    return sum(one.repeat * size(one) for one in program.parameters)


@pytest.mark.parametrize(
    ("name", "stored", "total_size"),
    [
        ("gpt-oss-20b", MXFP4, 13_761_264_768),  # openai/gpt-oss-20b
        ("gpt-oss-120b", MXFP4, 65_248_815_744),  # openai/gpt-oss-120b
        ("Llama-3.1-70B", AWQ, 39_767_785_472),  # Meta-Llama-3.1-70B-Instruct-AWQ-INT4, nine files
    ],
)
def test_published_files_have_the_size_that_their_configuration_says(name: str, stored: Json, total_size: int) -> None:
    """To the byte: index files of the named repositories, as quoted in public code."""
    assert stored_bytes(model(name, stored)) == total_size


def _llama_8b() -> tuple[int, int]:
    """Llama-3.1-8B by hand: values of its linear layers, and of all the rest (embedding, head, norms)."""
    linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    return linear, 2 * 128256 * 4096 + 65 * 4096


def test_formats_by_hand_on_llama_8b() -> None:
    """224 matrices; scales as each format stores them."""
    linear, rest = _llama_8b()
    rows = 32 * (4096 + 1024 + 1024 + 4096 + 14336 + 14336 + 4096)  # outputs of all matrices
    columns = 32 * (4 * 4096 + 2 * 4096 + 14336)  # inputs
    blocks = 32 * (2 * 32 * 32 + 2 * 8 * 32 + 3 * 32 * 112)
    uneven = compressed(4, "int", "group", 128)
    uneven["config_groups"]["group_0"]["weights"]["symmetric"] = False
    expected = [
        (compressed(8, "float", "tensor"), linear + 224 * 4),
        (compressed(8, "float", "channel"), linear + rows * 4),
        ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["lm_head"]}, linear + rows * 4),
        (FP8_BLOCK, linear + blocks * 4),
        (compressed(8, "float", "block", block_structure=[128, 128]), None),  # not where it belongs: refused below
        ({"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]}, linear + 224 * 4),
        (compressed(8, "int", "channel"), linear + rows * 4),
        (compressed(4, "int", "group", 128), linear // 2 + linear // 128 * 2 + 224 * 16),
        (uneven, linear // 2 + linear // 128 * 2 + 224 * 16 + linear // 128 // 2),  # zero points: 4 bits a group
        (compressed(4, "float", "tensor_group", 16), linear // 2 + linear // 16 + 224 * 8),
        (GPTQ, linear // 2 + linear // 128 * 2 + linear // 128 // 2 + columns * 4),
        (AWQ, linear // 2 + linear // 128 * 2 + linear // 128 // 2),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, linear + rows * 4),
        ({"quant_method": "eetq", "weights": "int8", "modules_to_not_convert": ["lm_head"]}, linear + rows * 2),
        ({"quant_method": "quanto", "weights": "int8", "modules_to_not_convert": None}, linear + rows * 2),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}},
          "skip_modules": ["lm_head"]}, linear // 2 + linear // 64 * 4),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig",
          "_data": {"group_size": 128}}}}, linear // 2 + linear // 128 * 4),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only", "quant_type_kwargs": {}}, linear + rows * 2),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}, linear + 224 * 4),
    ]  # fmt: skip
    for stored, size in expected:
        what = model("Llama-3.1-8B", stored)
        if size is None:
            with pytest.raises(memcalc.MemcalcError):
                memcalc.estimate({"model": what})
        else:
            assert stored_bytes(what) == size + 2 * rest, stored


@pytest.mark.parametrize(
    ("name", "stored", "weights"),
    [
        ("Qwen3-8B", {"backend": "autoawq", "bits": 4, "do_fuse": False, "exllama_config": None, "group_size": 128,
                      "modules_to_fuse": None, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
                      "zero_point": True}, "awq-4bit-g128"),
        ("Qwen3-30B-A3B", {"bits": 4, "checkpoint_format": "gptq", "desc_act": False, "dynamic": {"-:.*mlp.gate$": {}},
                           "group_size": 128, "lm_head": False, "pack_dtype": "int32", "quant_method": "gptq",
                           "sym": True}, "gptq-4bit-g128"),
        ("Llama-3.1-8B", {"_load_in_4bit": True, "_load_in_8bit": False, "bnb_4bit_quant_storage": "uint8",
                          "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
                          "llm_int8_skip_modules": ["lm_head", "multi_modal_projector", "merger",
                                                    "model.layers.0.self_attn"],
                          "load_in_4bit": True, "quant_method": "bitsandbytes"}, "nf4-dq"),
        ("Kimi-K2", compressed(4, "int", "group", 32, ignore=[
            "lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
            "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]), "packed-4bit-g32"),
        ("MiniMax-M2", {**FP8_BLOCK, "fmt": "float8_e4m3fn",
                        "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"]}, "fp8-block"),
        ("Ministral-3-8B-text", {"activation_scheme": "static", "dequantize": False, "quant_method": "fp8",
                                 "modules_to_not_convert": ["model.vision_tower", "model.multi_modal_projector",
                                                            "lm_head"], "weight_block_size": None}, "fp8"),
        ("DeepSeek-V3", {**FP8_BLOCK, "scale_fmt": "ue8m0"}, "fp8-block"),
        ("Qwen2.5-7B", {"autoround_version": "0.5.1", "bits": 4, "data_type": "int", "group_size": 128, "sym": True,
                        "packing_format": "auto_round:auto_gptq", "quant_method": "auto-round",
                        "extra_config": {"lm_head": {"bits": 16, "data_type": "float"}}}, "gptq-4bit-g128"),
        ("Llama-3.1-8B", {"quant_method": "exl2", "version": "0.1.8", "bits": 4.25, "head_bits": 6}, "exl2-4.25bpw"),
    ],
)  # fmt: skip
def test_configurations_as_they_are_published(name: str, stored: Json, weights: str) -> None:
    """Each as a repository of the named model has it; nothing but weights changes."""
    found = memcalc.estimate({"model": model(name, stored)})
    assert found.scenario["inference"]["weights"] == weights
    assert found.parameters["total"] == catalogue.find(name).parameters
    assert memcalc.estimate(found.scenario).peak == found.peak


def test_kimi_k2_thinking_has_only_its_experts_in_4_bits() -> None:
    """Attention, shared experts, the dense layer, embedding and head in 16; groups of 32."""
    ignored = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]
    what = model("Kimi-K2", compressed(4, "int", "group", 32, ignore=ignored))
    experts = 60 * 384 * 3 * 7168 * 2048
    others = catalogue.find("Kimi-K2").parameters - experts
    assert stored_bytes(what) == experts // 2 + experts // 32 * 2 + 60 * 384 * 2 * 16 + 2 * others


@pytest.mark.parametrize(
    ("name", "hub", "weights"),
    [
        ("gpt-oss-20b", "openai/gpt-oss-20b", "mxfp4"),
        ("DeepSeek-V3", "deepseek-ai/DeepSeek-V3", "fp8-block"),
        ("MiniMax-M2", "MiniMaxAI/MiniMax-M2", "fp8-block"),
    ],
)
def test_a_repository_is_its_checkpoint_and_a_catalogue_name_the_model(name: str, hub: str, weights: str) -> None:
    """The copy of the configuration in the catalogue knows how the checkpoint is published; no network."""
    by_hub = memcalc.estimate({"model": {"hub": hub}})
    by_name = memcalc.estimate({"model": name})
    assert by_hub.scenario["inference"]["weights"] == weights
    assert by_name.scenario["inference"]["weights"] == "same"
    assert by_hub.persistent < 0.6 * by_name.persistent
    assert any(f"with inference.weights {weights} it is taken so" in one for one in by_name.assumptions)
    carried = portable.carried({"hub": hub})
    assert stored_bytes(carried) == stored_bytes({"hub": hub})


def test_a_file_of_its_own_format_is_the_format_named_in_the_scenario() -> None:
    """The whole estimate, not only the weights; and the answer can be asked again."""
    asked = {"prompt_tokens": 500, "new_tokens": 20}
    by_file = memcalc.estimate({"model": model("Qwen2.5-7B", GPTQ), "inference": asked})
    named = memcalc.estimate({"model": "Qwen2.5-7B", "inference": asked | {"weights": "gptq-4bit-g128"}})
    assert by_file.scenario["inference"]["weights"] == "gptq-4bit-g128"
    assert (by_file.peak, by_file.at_peak) == (named.peak, named.at_peak)
    assert any("quantization_config says so" in one for one in by_file.assumptions)
    again = memcalc.estimate(by_file.scenario)
    assert (again.peak, again.scenario) == (by_file.peak, by_file.scenario)


def test_what_the_scenario_says_wins_and_is_said() -> None:
    what = model("Qwen2.5-7B", GPTQ)
    other = memcalc.estimate({"model": what, "inference": {"weights": "fp8"}})
    plain = memcalc.estimate({"model": "Qwen2.5-7B", "inference": {"weights": "fp8"}})
    assert other.peak == plain.peak
    assert any("published in GPTQ 4 bits" in one and "says fp8" in one for one in other.assumptions)
    whole = memcalc.estimate({"model": what, "inference": {"weights": "dequantized"}})
    assert whole.peak == memcalc.estimate({"model": "Qwen2.5-7B"}).peak
    assert any("dequantized to bf16" in one for one in whole.assumptions)
    nothing = memcalc.estimate({"model": "Qwen2.5-7B", "inference": {"weights": "dequantized"}})
    assert nothing.scenario["inference"]["weights"] == "same"
    assert any("nothing to dequantize" in one for one in nothing.assumptions)


def test_modules_that_are_left_out_stay_in_16_bits_layer_by_layer() -> None:
    """Llama-3.1-405B-Instruct-FP8 leaves out all attention and the feed-forward of the first and the last layer."""
    left = ["lm_head", *(f"model.layers.{i}.self_attn" for i in range(126))]
    left += [f"model.layers.{i}.mlp.{one}_proj" for i in (0, 125) for one in ("down", "gate", "up")]
    what = model("Llama-3.1-405B", {"quant_method": "fbgemm_fp8", "modules_to_not_convert": left})
    mlp, rows = 3 * 16384 * 53248, 2 * 53248 + 16384
    attention = 2 * 16384 * 16384 + 2 * 16384 * 1024
    others = 2 * 128256 * 16384 + (2 * 126 + 1) * 16384
    expected = 124 * (mlp + 4 * rows) + 2 * (126 * attention + 2 * mlp + others)
    assert stored_bytes(what) == expected
    half = [f"model.layers.{i}.mlp" for i in range(3, 10)]  # of the many equal layers some
    fewer = stored_bytes(model("Llama-3.1-405B", {"quant_method": "fbgemm_fp8", "modules_to_not_convert": half}))
    whole = stored_bytes(model("Llama-3.1-405B", {"quant_method": "fbgemm_fp8"}))
    assert fewer - whole == 7 * (mlp - 4 * rows)
    counted = memcalc.estimate({"model": what}).parameters["total"]
    assert counted == catalogue.find("Llama-3.1-405B").parameters


def test_experts_and_attention_apart() -> None:
    """A modelopt NVFP4 file of MiniMax-M2 keeps attention and routers in 16 bits (names as of transformers 4)."""
    ignored = ["lm_head", "model.layers.*.block_sparse_moe.gate", "model.layers.*.self_attn*"]
    what = model("MiniMax-M2", {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ignored})
    experts = 62 * 256 * 3 * 3072 * 1536
    scales = 62 * 256 * 2 * 8  # gate and up lie in one tensor for each expert: two matrices, two fp32 each
    others = catalogue.find("MiniMax-M2").parameters - experts
    assert stored_bytes(what) == experts // 2 + experts // 16 + scales + 2 * others


def test_deepseek_v3_is_fp8_by_blocks() -> None:
    """Everything linear but the routers and the head; one fp32 for each 128 × 128: the main model of DeepSeek-V3."""
    found = memcalc.estimate({"model": model("DeepSeek-V3", FP8_BLOCK)})
    assert found.scenario["inference"]["weights"] == "fp8-block"
    embedding, routers, norms = 2 * 129280 * 7168, 58 * 256 * 7168, (2 * 61 + 1) * 7168 + 61 * (1536 + 512)
    linear = found.parameters["total"] - embedding - routers - norms
    plain = 2 * (embedding + routers + norms)
    assert stored_bytes(model("DeepSeek-V3", FP8_BLOCK)) == pytest.approx(plain + linear * (1 + 4 / 16384), rel=1e-5)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({"quant_method": "aqlm", "nbits_per_codebook": 16}, "aqlm"),
        ({"quant_method": "bitnet"}, "bitnet"),
        ({**GPTQ, "bits": 16}, "gptq-16bit-g128"),
        ({**GPTQ, "bits": "four"}, "bits must be a whole number"),
        ({**GPTQ, "dynamic": {"+:.*down.*": {"bits": 8}}}, "other bits"),
        ({**FP8_BLOCK, "weight_block_size": [64, 64]}, "[64, 64]"),
        ({**FP8_BLOCK, "weight_block_size": 128}, "128"),
        ({**FP8_BLOCK, "expert_dtype": "fp4"}, "another format"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "MIXED_PRECISION"),
        (compressed(4, "int", "group", 128, sparsity_config={"format": "sparse-24-bitmask"}), "sparse"),
        (compressed(4, "int", "group", 128, ignore=["re:(a+)+$"]), "not understood"),
    ],
)
def test_what_is_not_known_is_refused_by_name_and_another_format_can_be_named(stored: Json, reason: str) -> None:
    what = model("Qwen2.5-7B", stored)
    with pytest.raises(memcalc.ScenarioError) as caught:
        memcalc.estimate({"model": what})
    assert caught.value.field == "inference.weights"
    assert reason in caught.value.message
    assert "dequantized" in caught.value.choices
    assert memcalc.estimate({"model": what, "inference": {"weights": "dequantized"}}).persistent > 15 * 10**9


@pytest.mark.parametrize("stored", ["gptq", [1], {"bits": 4}, {"quant_method": 7}, {"quant_method": ""}])
def test_what_is_no_quantization_config_is_an_error_of_the_file(stored: Any) -> None:
    with pytest.raises(memcalc.ModelError) as caught:
        memcalc.estimate({"model": model("Qwen2.5-7B", stored)})
    assert caught.value.field.startswith("model.config.quantization_config")


def test_training_takes_four_bits_of_bitsandbytes_as_they_are_and_others_dequantized() -> None:
    """unsloth's and others' bnb-4bit files are what QLoRA starts from; no other format has gradients."""
    asked: Json = {"model": model("Llama-3.1-8B", NF4), "task": "train", "seq_len": 512}
    for method in ("full", "lora"):
        with pytest.raises(memcalc.ScenarioError) as caught:
            memcalc.estimate({**asked, "training": {"method": method}})
        assert (caught.value.field, list(caught.value.choices)) == ("training.method", ["qlora"])
    found = memcalc.estimate({**asked, "training": {"method": "qlora"}})
    usual = memcalc.estimate({**asked, "model": "Llama-3.1-8B", "training": {"method": "qlora"}})
    assert found.peak == usual.peak  # nf4-dq is what QLoRA does anyway
    single = {**NF4, "bnb_4bit_use_double_quant": False}
    other = memcalc.estimate({**asked, "model": model("Llama-3.1-8B", single), "training": {"method": "qlora"}})
    assert other.scenario["training"]["base_weights"] == "nf4"
    assert memcalc.estimate(other.scenario).peak == other.peak
    for stored in (GPTQ, FP8_BLOCK, {"quant_method": "aqlm"}, {"quant_method": "bitsandbytes", "load_in_8bit": True}):
        for method in ("full", "qlora"):
            question = {**asked, "training": {"method": method}}
            begun = memcalc.estimate({**question, "model": model("Llama-3.1-8B", stored)})
            assert begun.peak == memcalc.estimate({**question, "model": "Llama-3.1-8B"}).peak
            assert any("trained are its original weights" in one for one in begun.assumptions)


def test_skipped_modules_of_a_4_bit_file() -> None:
    """llm_int8_skip_modules: 16 bits for what it names, head included."""
    skipped = {**NF4, "llm_int8_skip_modules": ["lm_head", "model.layers.1.mlp", "self_attn.q_proj"]}
    more = stored_bytes(model("Llama-3.1-8B", skipped)) - stored_bytes(model("Llama-3.1-8B", NF4))

    def saved(
        values: int,
    ) -> int:  # doubly quantised: half a byte, a byte a 64, 4 bytes a 16,384; two tables and an offset
        return 2 * values - (values // 2 + values // 64 + values // 16384 * 4 + 64 + 1024 + 4)

    assert more == 32 * saved(4096 * 4096) + 3 * saved(4096 * 14336)


def test_runtimes_read_what_they_can() -> None:
    what = model("Llama-3.1-8B", AWQ)
    served = memcalc.estimate({"model": what, "inference": {"runtime": "vllm"}, "hardware": {"gpu": "24GB"}})
    assert served.persistent == pytest.approx(stored_bytes(what), rel=0.02)
    with pytest.raises(memcalc.ScenarioError) as caught:
        memcalc.estimate({"model": what, "inference": {"runtime": "llama.cpp"}})
    assert "GGUF" in caught.value.message
    assert memcalc.estimate({"model": what, "inference": {"runtime": "llama.cpp", "weights": "gguf:Q4_K_M"}}).persistent


def test_the_description_in_a_link_keeps_it_in_few_words() -> None:
    """Qwen3-235B-A22B-FP8 lists 283 modules, most of them norms; a link has room for 3,000 characters."""
    listed = ["lm_head", *(f"model.layers.{i}.{one}" for i in range(94)
                           for one in ("input_layernorm", "mlp.gate", "post_attention_layernorm"))]  # fmt: skip
    what = model("Qwen3-235B-A22B", {**FP8_BLOCK, "modules_to_not_convert": listed})
    carried = portable.carried({**what, "name": "Qwen3-235B-A22B-FP8"})
    assert carried["config"]["quantization_config"]["quant_method"] == "fp8"
    text = packed.pack(carried)
    assert len(text) < packed.LONGEST
    assert describe(packed.unpack(text)) == describe({**what, "name": "Qwen3-235B-A22B-FP8"})
    assert stored_bytes(packed.unpack(text)) == stored_bytes(what)
    plain = stored_bytes({"config": {**what["config"], "quantization_config": FP8_BLOCK}})
    assert stored_bytes(what) == plain  # routers are no linear layers anyhow


@pytest.mark.parametrize(
    ("entries", "module", "expected"),
    [
        (("lm_head",), "lm_head", True),
        (("mlp.gate",), "model.layers.3.mlp.gate", True),
        (("mlp.gate",), "model.layers.3.mlp.gate_proj", False),
        (("re:.*mlp.gate$",), "model.layers.3.mlp.gate_proj", False),
        (("re:.*self_attn.*",), "model.layers.3.self_attn.q_proj", True),
        (("re:.*layers\\.(0|61)\\..*",), "model.layers.61.mlp.up_proj", True),
        (("re:.*layers\\.(0|61)\\..*",), "model.layers.6.mlp.up_proj", False),
        (("re:.*layers\\.\\d+\\.mlp",), "model.layers.17.mlp.up_proj", True),
        (("model.layers.*.self_attn",), "model.layers.3.self_attn.q_proj", True),
        (("model.layers.*.self_attn*",), "model.layers.3.self_attn.q_proj", True),
        (("model.layers.1",), "model.layers.11.mlp.up_proj", False),
        (("model.language_model.layers.2.mlp",), "model.layers.2.mlp.up_proj", True),
        (("transformer.h.2.attn",), "model.layers.2.attn.c_attn", True),
        (("visual",), "model.layers.2.mlp.up_proj", False),
    ],
)
def test_names_and_patterns_of_modules(entries: tuple[str, ...], module: str, expected: bool) -> None:
    """As the methods' own code reads them."""
    assert Modules(entries).has(module) is expected


def test_strangers_patterns_are_not_run() -> None:
    """Nested repetition and lookarounds are refused before anything is matched; random text never does worse."""
    for text in ("re:(a+)+$", "re:(?!x).*", "re:a{1,9}", "re:(((a", "re:a|b", "re:.*.*.*.*x", "a*b*c*d*e", "re:[a-z]+"):
        with pytest.raises(PatternError):
            Modules((text,))
    draw = random.Random(5)
    for _ in range(2000):
        text = "re:" + "".join(draw.choice("ab.*+\\d()|[]0-9$^?:{}") for _ in range(draw.randrange(1, 14)))
        try:
            Modules((text,)).has("model.layers.3.mlp.gate_proj")
        except PatternError:
            continue
