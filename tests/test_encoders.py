"""Models that read everything at once: what they are asked, what is refused, what the pages make of them."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import memcalc
from memcalc.rest import Rest, whole_run
from tests.test_pages import SLOW, headlines, page, warnings

BERT = "bert-base-uncased"
LABEL: dict[str, Any] = {
    "model_type": "bert", "architectures": ["BertForSequenceClassification"], "vocab_size": 30522, "hidden_size": 768,
    "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "id2label": {"0": "no", "1": "yes"},
}  # fmt: skip


def test_parameters_by_hand() -> None:
    """BERT-base for two labels: 30,522 + 512 + 2 rows of 768 and their norm; 12 blocks; pooler; classifier."""
    block = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768
    tables = (30522 + 512 + 2) * 768
    expected = tables + 2 * 768 + 12 * block + 768 * 768 + 768 + 2 * 768 + 2
    found = memcalc.estimate({"model": {"config": LABEL}, "task": "train", "precision": "fp32"})
    assert found.parameters["total"] == found.parameters["trainable"] == expected == 109_483_778
    assert found.parameters["embedding"] == tables


def lora(config: dict[str, Any], targets: Any, method: str = "lora") -> memcalc.Estimate:
    training = {"method": method, "lora": {"r": 8, "targets": targets}}
    return memcalc.estimate({"model": {"config": config}, "task": "train", "training": training})


def test_adapters_leave_the_head_of_a_label_to_be_trained_whole() -> None:
    """RoBERTa-large, rank 8 on queries and values: PEFT's documentation counts 1,838,082 trained parameters, which are
    24 x 2 adapters of 8 x (1,024 + 1,024) values and the head's 1,024² + 1,024 + 2 x 1,024 + 2."""
    large = LABEL | {
        "model_type": "roberta", "architectures": ["RobertaForSequenceClassification"], "vocab_size": 50265,
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
        "max_position_embeddings": 514, "type_vocab_size": 1,
    }  # fmt: skip
    found = lora(large, ["query", "value"])
    assert found.parameters["trainable"] == 1_838_082
    alone = memcalc.estimate({"model": {"config": large}}).parameters["total"]
    assert found.parameters["total"] == alone + 1_838_082  # the frozen original stays beside its copy
    assert any("trained whole" in one for one in found.assumptions)


def test_a_head_that_peft_would_wrap_twice_is_refused() -> None:
    distil = {"model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"]}
    with pytest.raises(memcalc.MemcalcError) as caught:
        lora(distil, "all-linear")
    assert caught.value.field == "training.lora.targets"
    assert lora(distil, None).parameters == lora(distil, list(caught.value.choices or ())).parameters


def test_a_head_in_four_bits_cannot_be_trained_and_is_left_out() -> None:
    """768² + 768 + 2 x 768 + 2 values, upcast to fp32 with the rest, twice: the original and its copy."""
    distil = {"model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"]}
    found = lora(distil, ["q_lin"], "qlora")
    assert found.parameters["trainable"] == 6 * 8 * 2 * 768 + 768 * 768 + 768 + 2 * 768 + 2
    assert any("llm_int8_skip_modules" in one for one in found.assumptions)


def test_inference_is_one_pass_whatever_was_asked_of_a_generation() -> None:
    plain = memcalc.estimate({"model": BERT, "precision": "fp32", "batch": 4})
    asked = {"prompt_tokens": 512, "new_tokens": 64, "beams": 4, "kv_cache": "int8", "runtime": "transformers"}
    found = memcalc.estimate({"model": BERT, "precision": "fp32", "batch": 4, "inference": asked})
    assert found.peak == plain.peak
    assert [one["name"] for one in found.phases] == ["load", "forward"]
    assert found.scenario["inference"]["runtime"] == "forward"
    assert found.scenario["inference"]["new_tokens"] == 0
    assert found.component_peak["kv_cache"] == 0
    assert any("one forward pass" in one for one in found.assumptions)


@pytest.mark.parametrize(
    ("scenario", "field"),
    [
        ({"model": BERT, "inference": {"runtime": "vllm"}, "hardware": {"gpu": "24GB"}}, "inference.runtime"),
        ({"model": BERT, "inference": {"runtime": "llama.cpp"}}, "inference.runtime"),
        ({"model": BERT, "task": "train", "seq_len": 513}, "seq_len"),
        ({"model": "roberta-base", "inference": {"prompt_tokens": 513}}, "inference.prompt_tokens"),
        ({"model": BERT, "task": "train", "training": {"loss": "fused"}}, "training.loss"),
        ({"model": BERT, "task": "train", "training": {"liger": True}}, "training.liger"),
        ({"model": "all-MiniLM-L6-v2", "task": "train"}, "task"),
        ({"model": BERT, "task": "train", "parallel": {"tensor": 2}}, "parallel.tensor"),
        ({"model": {"config": LABEL | {"architectures": ["BertForQuestionAnswering"]}}}, "model.config.architectures"),
        ({"model": {"config": LABEL | {"is_decoder": True}}}, "model.config.is_decoder"),
        ({"model": {"config": LABEL | {"num_labels": "many"}}}, "model.config.num_labels"),
        (
            {"model": BERT, "task": "train", "training": {"method": "lora", "lora": {"targets": ["q_proj"]}}},
            "training.lora.targets",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(scenario: dict[str, Any], field: str) -> None:
    with pytest.raises(memcalc.MemcalcError) as caught:
        memcalc.estimate(scenario)
    assert caught.value.field == field


def test_without_a_head_in_the_configuration_words_are_masked() -> None:
    found = memcalc.estimate({"model": {"config": {key: one for key, one in LABEL.items() if key != "architectures"}}})
    assert found.parameters["total"] == 109_514_298
    assert any("BertForMaskedLM is taken" in one for one in found.assumptions)


def test_a_sweep_is_the_single_estimates() -> None:
    scenario = {"model": BERT, "task": "train", "precision": "bf16-mixed"}
    grid = memcalc.sweep(scenario, batch=[1, 4], seq_len=[96, 512])
    for i, batch in enumerate((1, 4)):
        for j, length in enumerate((96, 512)):
            single = memcalc.estimate({**scenario, "batch": batch, "seq_len": length})
            assert grid.tensors[i, j] == single.peak["tensors"]


@pytest.mark.parametrize("strategy", ["ddp", "zero1", "zero2", "zero3", "fsdp2"])
def test_it_is_trained_on_many_cards_like_any_other(strategy: str) -> None:
    """Sharding can only take away from what one card holds of weights, gradients and states."""
    scenario = {"model": BERT, "task": "train", "precision": "bf16-master", "batch": 2, "seq_len": 128}
    single = memcalc.estimate(scenario)
    found = memcalc.estimate({**scenario, "parallel": {"data": 8, "strategy": strategy}})
    if strategy == "ddp":
        assert found.persistent > single.persistent
    else:
        assert found.persistent < single.persistent


def test_quantised_weights_leave_the_head_alone() -> None:
    """NF4 with a scale for each 64 values: 4.5 bits a weight of the blocks' and the pooler's matrices."""
    whole = memcalc.estimate({"model": {"config": LABEL}}).runtime
    found = memcalc.estimate({"model": {"config": LABEL}, "inference": {"weights": "nf4"}}).runtime
    assert whole is not None
    assert found is not None
    matrices = 12 * (4 * 768 * 768 + 2 * 768 * 3072) + 768 * 768
    assert whole["weights"] - found["weights"] == pytest.approx(matrices * (2 - 4.5 / 8), rel=0.001)


def test_a_run_has_an_evaluation_and_no_samples() -> None:
    scenario = {"model": BERT, "task": "train", "seq_len": 128}
    assert "evaluation" in [line.key for line in whole_run(scenario, Rest(evaluation=8)).lines]
    with pytest.raises(memcalc.MemcalcError, match="writes no text"):
        whole_run(scenario, Rest(preference="grpo"))


def test_the_first_page_shows_it_in_one_pass() -> None:
    test = page(model=BERT)
    assert not test.exception
    training, inference = headlines(test)
    assert "Training" in training
    assert "Inference" in inference
    assert "used in one pass" in warnings(test)
    assert [one.disabled for one in test.select_slider if one.key == "new"] == [True]


@pytest.mark.parametrize(
    "name", ["inference", "training", "batch", "timeline", "sweep", "advise", "cards", "run", "learn"]
)
def test_every_page_survives_it(name: str) -> None:
    """No exception, no error, and no runtime or cache to choose from."""
    test = AppTest.from_file("../app.py", default_timeout=2 * SLOW)
    test.query_params["model"] = BERT
    test.run()
    test.switch_page(f"pages/views/{name}.py").run()
    assert not test.exception
    assert not test.error
    if name == "inference":
        shown = {one.key for one in (*test.selectbox, *test.select_slider, *test.toggle)}
        assert {"runtime", "new", "beams", "cache", "logits"}.isdisjoint(shown)
