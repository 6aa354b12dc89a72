"""Tensor parallelism: every parameter is divided or whole as Megatron-LM has it; sums by hand; refusals."""

from __future__ import annotations

from typing import Any

import pytest

import memcalc
from memcalc.errors import ScenarioError
from memcalc.explain import timeline
from memcalc.parallel.tensor import FAMILIES
from memcalc.question import Question

# Width 512, 4 layers, 8 heads of 64 (2 for keys), feed-forward 1024, vocabulary 2048, head not tied.
CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 2048, "hidden_size": 512,
    "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}  # fmt: skip
NORMS = 9 * 512
ROTARY = 2 * 512


def asked(tensor: int, task: str = "train", **more: Any) -> dict[str, Any]:
    return {"model": {"config": CONFIG}, "task": task, "precision": "bf16",
            **({"seq_len": 64} if task == "train" else {}), **more,
            "parallel": {"tensor": tensor, **more.get("parallel", {})}}  # fmt: skip


def weights(tensor: int) -> int:
    """Bytes of one card's bf16 weights: matrices divided (keys and values by 2 heads at most), norms whole."""
    keys = 4 * 2 * (512 * 128 // min(tensor, 2))
    matrices = 2 * 2048 * 512 + 4 * (2 * 512 * 512 + 3 * 512 * 1024)
    return 2 * (matrices // tensor + keys + NORMS) + ROTARY


@pytest.mark.parametrize("tensor", [1, 2, 4, 8])
def test_matrices_are_divided_and_norms_are_whole(tensor: int) -> None:
    found = memcalc.estimate(asked(tensor))
    assert found.phases[0]["tensors"] == weights(tensor)
    assert found.persistent == 4 * (weights(tensor) - ROTARY) + ROTARY  # gradients and two states in bf16
    assert found.parameters == memcalc.estimate(asked(1)).parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_of_every_family_is_divided_or_a_whole_vector(family: str) -> None:
    name = _catalogued(family)
    whole = Question.read({"model": name, "task": "train"}).program().parameters
    spec = Question.read({"model": name, "task": "train"}).model.spec
    part = Question.read({"model": name, "task": "train", "parallel": {"tensor": 2}}).program().parameters
    assert spec.family == family
    for one, half in zip(whole, part, strict=True):
        copied = spec.kv_heads == 1 and ("k_proj" in one.name or "v_proj" in one.name)
        if one.count == half.count:
            assert len(one.shape) == 1 or copied, one.name
        elif "qkv_proj" not in one.name:  # fused, its keys are divided as far as they go
            assert half.count == -(-one.shape[0] // 2) * (one.count // one.shape[0]) or one.count == 2 * half.count, (
                one.name  # the vocabulary may be odd
            )


def _catalogued(family: str) -> str:
    """A catalogue model of the family whose heads divide by two."""
    from memcalc.models import catalogue

    for name in catalogue.names():
        spec = Question.read({"model": name, "task": "infer"}).model.spec
        if spec.family == family and spec.heads % 2 == 0:
            return name
    raise AssertionError(f"no model of {family} in the catalogue")


def test_the_cache_is_divided_by_key_heads_as_far_as_they_go() -> None:
    caches = {t: memcalc.estimate(asked(t, "infer")).component_peak["kv_cache"] for t in (1, 2, 4)}
    assert caches[1] == 2 * caches[2] == 2 * caches[4]


def test_logits_are_divided_by_the_vocabulary() -> None:
    # bf16 and fp32 logits and their log-softmax, 64 tokens: 10 bytes a word and token at the end of forward.
    one, two = (memcalc.estimate(asked(t, seq_len=64, batch=8)) for t in (1, 2))
    assert one.phases[1]["at_peak"]["temporary"] > 512 * 2048 * 6
    assert one.phases[1]["tensors"] - two.phases[1]["tensors"] > 512 * 1024 * 10


def test_dividing_the_sequence_divides_what_norms_and_residuals_keep() -> None:
    """At the end of forward, bf16, batch 8 of 64 tokens: of every block's two RMSNorms the fp32 input (4 bytes a value)
    and the product before the weight (2), and the checkpointed block's input (2); what linear layers read is gathered
    and stays whole."""
    tokens, hidden, blocks = 8 * 64, 512, 4

    def kept(sequence: bool, checkpointing: str = "none") -> int:
        scenario = asked(2, batch=8, training={"checkpointing": checkpointing},
                         parallel={"tensor": 2, "sequence": sequence})  # fmt: skip
        return memcalc.estimate(scenario).component_peak["activations"]

    norms = (4 + 2) * tokens * hidden * (2 * blocks + 1)
    saved = kept(False) - kept(True)
    assert saved == pytest.approx(norms / 2, rel=0.05)
    inputs = 2 * tokens * hidden * blocks
    assert kept(False, "full") - kept(True, "full") >= inputs / 2


def test_tensors_and_replicas_multiply() -> None:
    found = memcalc.estimate(asked(2, parallel={"data": 4, "strategy": "fsdp2", "tensor": 2}))
    assert found.ranks is not None
    assert found.ranks[0]["count"] == 8
    # Norms of 512 values over 4 ranks: 256 bytes in a block of 512.
    assert found.phases[0]["tensors"] == (weights(2) - ROTARY - 2 * NORMS) // 4 + 9 * 512 + ROTARY
    told = timeline(asked(2, parallel={"data": 4, "strategy": "fsdp2", "tensor": 2}))
    assert sum(one.total for one in told.tensors) == found.peak["tensors"]


@pytest.mark.parametrize(
    ("scenario", "field"),
    [
        (asked(3), "parallel.tensor"),
        (asked(16), "parallel.tensor"),
        ({**asked(2), "model": "gpt2"}, "parallel.tensor"),
        (asked(2, "infer", parallel={"sequence": True, "tensor": 2}), "parallel.sequence"),
        ({**asked(2, parallel={"sequence": True, "tensor": 2}), "model": "Gemma-2-9B"}, "parallel.sequence"),
        (asked(2, training={"method": "lora"}), "training.method"),
        (asked(2, training={"loss": "fused"}), "training.loss"),
    ],
)
def test_what_does_not_divide_or_is_not_built_is_refused(scenario: dict[str, Any], field: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        memcalc.estimate(scenario)
    assert caught.value.field == field
    assert caught.value.choices
