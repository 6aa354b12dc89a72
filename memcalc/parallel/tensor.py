"""Tensor parallelism as Megatron-LM splits a decoder: one card's part is a decoder with fewer heads, a narrower
feed-forward and a smaller vocabulary.

Queries, keys, values, gate and up projections are split by columns, the two that lead back to the hidden size by rows,
embedding and head by vocabulary; norms and the biases of row-split layers are whole on every card. Results of row-split
layers, and gradients of the inputs of column-split ones, are summed over the cards in place [Shoeybi et al. 2019, arXiv
1909.08053, section 3; Megatron-LM core/tensor_parallel/layers.py, mappings.py]. Hidden states and what norms keep stay
whole, unless sequence parallelism divides them too (memcalc.tensors.ops.sequence).
"""

from __future__ import annotations

from dataclasses import replace

from memcalc.architectures.spec import ModelSpec
from memcalc.errors import ScenarioError
from memcalc.scenario import Scenario

FAMILIES = ("llama", "gemma", "gemma2", "gemma3_text", "granite", "smollm3", "phi3", "starcoder2")
"""Families whose layers are split as above and nothing else: tests/test_parallel_tensor.py weighs every parameter."""
SEQUENCE = ("llama",)
"""Families whose program divides hidden states by length too (Llama, Mistral, Qwen and others of Llama's form)."""


def split(spec: ModelSpec, cards: int) -> ModelSpec:
    """One card's part of ``spec``. Key heads are divided as far as they go, then copied; the vocabulary is padded."""
    if cards == 1:
        return spec
    if spec.family not in FAMILIES:
        raise ScenarioError(
            f"parallel.tensor is not supported for the family {spec.family}, only for {', '.join(FAMILIES)}",
            "parallel.tensor",
            [1],
        )
    possible = [
        one
        for one in range(1, spec.heads + 1)
        if spec.heads % one == spec.ffn % one == 0 and (spec.kv_heads % one == 0 or one % spec.kv_heads == 0)
    ]
    if cards not in possible:
        raise ScenarioError(
            f"{spec.heads} heads, {spec.kv_heads} key heads and a feed-forward of {spec.ffn:,} do not divide by "
            f"{cards}",
            "parallel.tensor",
            possible,
        )
    return replace(
        spec,
        heads=spec.heads // cards,
        kv_heads=max(1, spec.kv_heads // cards),
        ffn=spec.ffn // cards,
        vocab=-(-spec.vocab // cards),
    )


def check(scenario: Scenario, spec: ModelSpec) -> None:
    """Refuse what tensor parallelism is not built for here."""
    if scenario.parallel.tensor == 1:
        return
    if scenario.parallel.sequence and (spec.family not in SEQUENCE or scenario.task != "train"):
        raise ScenarioError(
            f"parallel.sequence is only supported for training the family {', '.join(SEQUENCE)}",
            "parallel.sequence",
            [False],
        )
    if scenario.task == "train" and scenario.training.method != "full":
        raise ScenarioError(
            f"parallel.tensor with {scenario.training.method} is not supported yet", "training.method", ["full"]
        )
    if scenario.task == "train" and scenario.training.loss != "standard":
        raise ScenarioError("a fused loss needs the whole vocabulary on one card", "training.loss", ["standard"])
