"""Quantised weights: bytes by hand, GGUF mixtures against a published table and published files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import memcalc
from memcalc.quantisation import CHOICES, known, mixture_of, scheme_for
from memcalc.quantisation.gguf import Traits, type_of
from memcalc.quantisation.gguf_types import fitting
from memcalc.quantisation.weight import Weight
from memcalc.question import Question
from memcalc.runtimes.gguf_file import gguf_file

TABLE = list(csv.DictReader((Path(__file__).parent / "data" / "gguf_bits.csv").open(encoding="utf-8")))
MODELS = [name for name in TABLE[0] if name != "mixture"]
CONTRADICTED = {("Qwen2.5-0.5B", name) for name in ("IQ1_M", "IQ1_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ3_XXS")}
"""Cells of the table that the source and a published file contradict: rows of 896 send the head to Q8_0 first
(test_a_published_file_of_a_model_with_odd_rows)."""


def bits(name: str, inputs: int = 4096, outputs: int = 4096) -> float:
    scheme = scheme_for(name)
    assert scheme is not None
    return scheme.bits(inputs, outputs)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("int8", 8 + 32 / 4096),  # one fp32 a row of 4,096
        ("nf4", 4 + 32 / 64 + 16 * 32 / 4096**2),  # fp32 absmax a block of 64, 16 codes
        ("nf4-dq", 4 + 8 / 64 + 32 / (64 * 256) + (16 + 1 + 256) * 32 / 4096**2),
        ("fp4", 4 + 32 / 64 + 16 * 32 / 4096**2),
        ("gptq-4bit-g128", 4 + (4 + 16) / 128 + 32 / 4096),  # zeros, fp16 scales, int32 g_idx an input
        ("gptq-4bit-g32", 4 + 20 / 32 + 32 / 4096),
        ("gptq-3bit-g128", 3 + 19 / 128 + 32 / 4096),
        ("gptq-8bit-g128", 8 + 24 / 128 + 32 / 4096),
        ("gptq-4bit-g-1", 4 + 20 / 4096 + 32 / 4096),
        ("awq-4bit-g128", 4 + 20 / 128),
        ("awq-4bit-g64", 4 + 20 / 64),
        ("fp8", 8 + 32 / 4096**2),
        ("fp8-block", 8 + 32 / 128**2),
        ("mxfp8", 8 + 8 / 32),
        ("mxfp4", 4.25),
        ("nvfp4", 4.5 + 2 * 32 / 4096**2),
        ("hqq-4bit-g64", 4.5),
        ("hqq-2bit-g16", 4.0),
        ("torchao-int4-g128", 4.25),
        ("torchao-int8", 8 + 16 / 4096),
        ("exl2-4bpw", 4 + 16 / 4096),
        ("exl3-3bpw", 3 + 32 / 4096),
    ],
)
def test_bits_a_weight_by_hand(name: str, expected: float) -> None:
    assert bits(name) == pytest.approx(expected, rel=1e-9)


def test_three_bits_of_hqq_lie_ten_to_a_word() -> None:
    # ⌈2^24 / 10⌉ words of 32 bits, and 32 bits of scale and zero for each 64 values.
    assert bits("hqq-3bit-g64") == pytest.approx(32 * -(-(2**24) // 10) / 2**24 + 0.5)


def test_tinygemm_pads_odd_inputs() -> None:
    # 896 inputs are padded to 1,024: 1,024/896 of 4.25 bits.
    assert bits("torchao-int4-g128", inputs=896) == pytest.approx(4.25 * 1024 / 896)


def test_a_model_in_nf4_by_hand() -> None:
    """Llama-3.1-8B: 32 blocks of seven matrices in NF4, embedding, head and norms in bf16; every tensor in steps of
    512 bytes."""

    def packed(inputs: int, outputs: int) -> int:
        count = inputs * outputs
        return count // 2 + 512 + count // 64 * 4  # values, code table (64 B take 512), absmax

    block = 2 * packed(4096, 4096) + 2 * packed(4096, 1024) + 3 * packed(4096, 14336) + 2 * 4096 * 2
    rest = 2 * 128256 * 4096 * 2 + 4096 * 2 + 2 * 512  # embedding, head, last norm, rotary buffers
    answer = memcalc.estimate({"model": "Llama-3.1-8B", "inference": {"weights": "nf4"}})
    assert answer.at_peak["weights"] == 32 * block + rest


def test_qlora_stores_its_base_by_the_same_rule() -> None:
    trained = Question.read({"model": "Llama-3.1-8B", "task": "train", "training": {"method": "qlora"}}).program()
    used = Question.read({"model": "Llama-3.1-8B", "inference": {"weights": "nf4-dq"}}).program()

    def quantised(program: object) -> list[tuple[str, int]]:
        return [(one.name, one.bytes()) for one in program.parameters if hasattr(one, "scheme")]  # type: ignore[attr-defined]

    assert quantised(trained) == quantised(used)
    assert len(quantised(used)) == 7 * 3  # seven matrices in the first, the middle and the last block


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["mixture"])
@pytest.mark.parametrize("model", MODELS)
def test_mixtures_give_the_published_bits_a_weight(model: str, row: dict[str, str]) -> None:
    """Bits over all tensors; the column of Llama-3.1-8B is what llama.cpp's README measures."""
    if (model, row["mixture"]) in CONTRADICTED:
        pytest.skip("the table itself is contradicted by a published file")
    found = gguf_file(Question.read({"model": model}).model.spec, row["mixture"])
    assert found.bits_per_weight == pytest.approx(float(row[model]), abs=6e-5)


@pytest.mark.parametrize(("mixture", "expected"), [("IQ3_XXS", 3.2548), ("IQ4_XS", 4.4231), ("IQ4_NL", 4.6526)])
def test_an_importance_matrix_spares_some_exceptions(mixture: str, expected: float) -> None:
    """llama.cpp's README has Llama-3.1-8B made with one."""
    found = gguf_file(Question.read({"model": "Llama-3.1-8B"}).model.spec, f"{mixture}-imatrix")
    assert found.bits_per_weight == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(("mixture", "size"), [("IQ2_M", 328_597_408), ("Q4_K_M", 397_942_432)])
def test_a_published_file_of_a_model_with_odd_rows(mixture: str, size: int) -> None:
    """bartowski/Qwen2.5-0.5B-Instruct-GGUF at 41ba88db: sizes that downloaders check; 5.9 MB are header, tokenizer."""
    found = gguf_file(Question.read({"model": "Qwen2.5-0.5B"}).model.spec, mixture)
    assert found.data_bytes == pytest.approx(size - 5.95e6, rel=5e-4)
    assert found.file_bytes == pytest.approx(size, rel=0.01)


def test_rows_that_blocks_do_not_divide_fall_back() -> None:
    assert [fitting(one, 896) for one in ("Q2_K", "Q4_K", "Q5_K", "Q6_K", "IQ3_S", "IQ4_XS", "Q8_0")] == [
        "Q4_0", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "IQ4_NL", "Q8_0",
    ]  # fmt: skip
    assert fitting("Q8_0", 100) == "F16"


def test_experts_and_routers() -> None:
    """Mixtral's rules: keys and values in Q8_0, the attention's output in Q5_K, routers never quantised."""
    traits = Traits(layers=32, grouped=4, experts=8, family="mixtral", tied=False)

    def kind(name: str) -> str:
        return type_of(Weight("", name, 20, 4096, 4096), "Q4_K_M", traits)

    assert [kind(one) for one in ("attn_v", "attn_k", "attn_output", "ffn_gate_inp")] == ["Q8_0", "Q8_0", "Q5_K", "F32"]
    experts = Weight("", "ffn_up", 20, 4096, 4096, copies=8)
    assert type_of(experts, "MXFP4_MOE", traits) == "MXFP4"
    assert type_of(Weight("", "attn_q", 20, 4096, 4096), "MXFP4_MOE", traits) == "Q8_0"


def test_every_choice_is_understood_and_estimated() -> None:
    for name in CHOICES:
        assert known(name)
        runtime = "llama.cpp" if mixture_of(name) else "transformers"
        answer = memcalc.estimate({"model": "Qwen2.5-0.5B", "inference": {"weights": name, "runtime": runtime}})
        assert 0 < answer.runtime["bits_per_weight"] < 34  # type: ignore[index]


@pytest.mark.parametrize(
    "name", ["nf5", "gptq-4bit", "gptq-9bit-g128", "gptq-4bit-g0", "hqq-5bit-g64", "gguf:Q9_K", "exl2-9bpw", "", 4, []]
)
def test_what_is_no_format_is_refused_with_choices(name: object) -> None:
    with pytest.raises(memcalc.ScenarioError) as caught:
        memcalc.estimate({"model": "gpt2", "inference": {"weights": name}})
    assert caught.value.field == "inference.weights"
    assert "nf4" in caught.value.choices


@pytest.mark.parametrize(
    ("runtime", "name"), [("llama.cpp", "nf4"), ("transformers", "gguf:Q4_K_M"), ("ollama", "fp8")]
)
def test_a_runtime_refuses_what_it_cannot_read(runtime: str, name: str) -> None:
    with pytest.raises(memcalc.ScenarioError) as caught:
        memcalc.estimate({"model": "gpt2", "inference": {"runtime": runtime, "weights": name}})
    assert caught.value.field == "inference.weights"


def test_the_largest_matrix_is_dequantised_for_a_prompt_but_not_for_one_token() -> None:
    """Linear4bit: a whole weight of 14336 × 4096 in bf16 (112 MiB) for a product, none for a single row."""
    asked = {"model": "Llama-3.1-8B", "inference": {"weights": "nf4", "prompt_tokens": 16, "new_tokens": 2}}
    phases = {one["name"]: one for one in memcalc.estimate(asked).phases}
    assert phases["prefill"]["at_peak"]["temporary"] > 14336 * 4096 * 2
    assert phases["decode"]["at_peak"]["temporary"] < 2**20


def test_exllama_keeps_a_buffer_for_the_largest_matrix() -> None:
    asked = {"model": "Llama-3.1-8B", "inference": {"weights": "gptq-4bit-g128", "prompt_tokens": 1, "new_tokens": 2}}
    held = memcalc.estimate(asked).phases[0]["at_peak"]["temporary"]
    assert held == 2 * 14336 * 4096 + 512  # 2 B a value and 128 B, in steps of 512


def test_names_of_the_quantised_tensors_sum_to_the_peak() -> None:
    for weights in ("nf4-dq", "gptq-4bit-g128", "int8"):
        asked = {"model": "gpt2", "inference": {"weights": weights}}
        found = memcalc.timeline(asked)
        assert sum(one.total for one in found.tensors) == memcalc.estimate(asked).peak["tensors"]
        assert any(weights in one.format for one in found.tensors)


def test_experts_are_quantised_where_the_library_can() -> None:
    """Mixtral-8x7B: 8 experts of three matrices 4096 × 14336 in each of 32 blocks; AWQ at 4 + 20/128 bits."""
    experts = 32 * 8 * 3 * 4096 * 14336

    def weights(name: str, runtime: str) -> int:
        asked = {"model": "Mixtral-8x7B", "inference": {"weights": name, "runtime": runtime}}
        return memcalc.estimate(asked).at_peak["weights"]

    plain = weights("same", "transformers")
    # 1.34 billion values of attention besides, in the same format; embedding, head and routers in 16 bits.
    saved = (2 - (4 + 20 / 128) / 8) * (experts + 32 * 2 * (4096 * 4096 + 4096 * 1024))
    assert plain - weights("awq-4bit-g128", "transformers") == pytest.approx(saved, rel=1e-3)
    # bitsandbytes cannot quantise transformers' experts in one tensor; vLLM can.
    assert weights("nf4", "transformers") > plain * 0.97
    assert weights("nf4", "vllm") < plain * 0.3


def test_gpt_oss_has_only_its_experts_in_mxfp4() -> None:
    """24 blocks of 32 experts, 2880 × 5760 and 2880 × 2880, at 4.25 bits; the other values in bf16."""
    asked = {"model": "gpt-oss-20b", "inference": {"weights": "mxfp4"}}
    answer = memcalc.estimate(asked)
    experts = 24 * 32 * 3 * 2880 * 2880
    expected = experts * 4.25 / 8 + (answer.parameters["total"] - experts) * 2
    assert answer.at_peak["weights"] == pytest.approx(expected, rel=1e-4)


def test_a_published_file_with_experts() -> None:
    """Qwen/Qwen3-30B-A3B-GGUF in Q4_K_M: 18,556,685,824 bytes, as downloaders check."""
    found = gguf_file(Question.read({"model": "Qwen3-30B-A3B"}).model.spec, "Q4_K_M")
    assert found.file_bytes == pytest.approx(18_556_685_824, rel=2e-3)
