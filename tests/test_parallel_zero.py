"""ZeRO's stages: against the paper's figures, DeepSpeed's own estimators, and sums done by hand from its source."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

import memcalc
from memcalc.errors import ScenarioError
from memcalc.explain import timeline
from memcalc.formats import Format
from memcalc.parallel.shards import flat
from memcalc.tensors.tensor import Parameter

# Width 512, 4 layers, 8 heads of 64 (4 for keys), feed-forward 1024, vocabulary 2048, head not tied.
CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 2048, "hidden_size": 512,
    "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}  # fmt: skip
TABLE = 2048 * 512
BLOCK = 2 * 512 * 512 + 2 * 256 * 512 + 3 * 512 * 1024 + 2 * 512
COUNTS = [
    TABLE, *[512 * 512, 256 * 512, 256 * 512, 512 * 512, *[512 * 1024] * 3, 512, 512] * 4, 512, TABLE,
]  # fmt: skip
VALUES = 4 * BLOCK + 2 * TABLE + 512
ROTARY = 2 * 512
BUCKET = 500_000_000
AUTO = 512 * 512
N = 8
SHARE = VALUES // N


def asked(strategy: str, precision: str = "bf16-master", training: Any = None, **parallel: Any) -> dict[str, Any]:
    return {"model": {"config": CONFIG}, "task": "train", "precision": precision, "seq_len": 64,
            "training": training or {}, "parallel": {"data": N, "strategy": strategy, **parallel}}  # fmt: skip


def about(size: int) -> Any:
    """A sum of at most five buffers, each rounded up to 512 bytes."""
    return pytest.approx(size, abs=5 * 512)


def phases(scenario: dict[str, Any]) -> dict[str, dict[str, int]]:
    """What lives at the highest instant of each phase of the second step (and at load)."""
    found = memcalc.estimate(scenario).phases
    return {one["name"]: one["at_peak"] for one in found}


@pytest.mark.parametrize(("strategy", "gigabytes"), [("ddp", 120.0), ("zero1", 31.4), ("zero2", 16.6), ("zero3", 1.9)])
def test_the_papers_figures(strategy: str, gigabytes: float) -> None:
    """Rajbhandari et al. 2020 (arXiv 1910.02054), figure 1: 7.5 billion parameters, Adam, 64 GPUs; its baseline is
    one GPU's 16 bytes a parameter."""
    parallel = {} if strategy == "ddp" else {"data": 64, "strategy": strategy}
    found = memcalc.estimate(
        {"model": {"parameters": 7.5e9}, "task": "train", "precision": "bf16-master", "seq_len": 128,
         "parallel": parallel}
    )  # fmt: skip
    assert found.persistent / 1e9 == pytest.approx(gigabytes, abs=0.06)


def test_tensors_are_walked_as_they_lie_in_the_flat_buffer() -> None:
    assert sum(COUNTS) == VALUES
    assert flat([Parameter("w", (one,), Format.BF16) for one in COUNTS], N).touched == touched()


def test_the_shares_of_all_ranks_divide_here() -> None:
    assert VALUES % (2 * N) == 0


def test_stage_1_keeps_whole_gradients_and_divides_masters_and_states() -> None:
    found = memcalc.estimate(asked("zero1"))
    assert found.persistent == about(4 * VALUES + 12 * SHARE + ROTARY)
    at = phases(asked("zero1"))
    assert at["load"]["weights"] == 2 * VALUES + ROTARY
    assert at["load"]["optimizer"] == about(4 * SHARE)
    # The step begins with a flat copy of the share's gradients in 16 bits and one in fp32, beside the reduced ones.
    assert at["optimizer"]["optimizer"] == about(12 * SHARE)
    assert at["optimizer"]["temporary"] == about(6 * SHARE)
    assert at["optimizer"]["gradients"] == about(2 * touched())


def touched() -> int:
    """Values of all tensors that reach into a rank's share, for the rank with the most, one by one."""
    most = 0
    for rank in range(N):
        begin, stop = rank * SHARE, (rank + 1) * SHARE
        found = at = 0
        for count in COUNTS:
            if at < stop and at + count > begin:
                found += count
            at += count
        most = max(most, found)
    return most


def test_stage_2_keeps_only_the_gradients_that_reach_into_the_share() -> None:
    assert memcalc.estimate(asked("zero2")).persistent == about(2 * VALUES + 14 * SHARE + ROTARY)
    # In backward those, and the gradient that was just made: at most the head's.
    at = phases(asked("zero2"))
    assert 2 * touched() <= at["backward"]["gradients"] <= 2 * touched() + 2 * TABLE + 512


def test_the_bucket_is_allocated_whole_however_small_the_model_is() -> None:
    usual, auto = phases(asked("zero2")), phases(asked("zero2", buckets="auto"))
    twice = phases(asked("zero2", overlap_comm=True))
    # 500 million values of 2 bytes against 512 * 512; the copy of a full bucket is as large as the model, or as it.
    assert usual["backward"]["temporary"] - auto["backward"]["temporary"] > 2 * (BUCKET - AUTO) - 2 * VALUES
    assert twice["backward"]["temporary"] - usual["backward"]["temporary"] == pytest.approx(2 * BUCKET, abs=512)


def test_stage_3_divides_everything() -> None:
    whole = 9 * 512  # norms of at most 100,000 values stay whole
    assert memcalc.estimate(asked("zero3")).persistent == about(16 * SHARE + 2 * whole + ROTARY)
    at = phases(asked("zero3"))
    assert at["load"]["temporary"] == 2 * BUCKET
    assert at["load"]["gradients"] == about(2 * SHARE)


def test_stage_3_holds_what_it_needs_again_soon() -> None:
    # The whole model is less than half of stage3_max_reuse_distance: at the turn to backward nothing was let go.
    at = phases(asked("zero3"))
    parted = VALUES - 9 * 512
    assert at["backward"]["weights"] == about(2 * SHARE + 2 * 9 * 512 + ROTARY + 2 * parted)


def test_offloading_leaves_16_bits_a_parameter_and_room_for_a_gradient() -> None:
    # As DeepSpeed's estimate_zero2_model_states_mem_needs has it with cpu_offload: 2 bytes a parameter on the card.
    found = memcalc.estimate(asked("zero2", offload="optimizer"))
    assert found.persistent == 2 * VALUES + ROTARY
    assert phases(asked("zero2", offload="optimizer"))["load"]["temporary"] == 2 * TABLE
    assert found.ranks is not None
    # fp32 masters, gradients and two states, and the 16-bit buffer through which new weights come back.
    assert found.ranks[0]["host"] == about(18 * SHARE)
    assert memcalc.estimate(asked("zero3", offload="parameters")).persistent == 2 * 9 * 512 + ROTARY


def test_all_in_bf16_halves_masters_and_states() -> None:
    assert memcalc.estimate(asked("zero3", "bf16")).persistent == about((2 + 2 + 2 + 4) * SHARE + 2 * 9 * 512 + ROTARY)


CASES = list(product(("zero1", "zero2", "zero3"), ("none", "optimizer"), ("full", "lora"), (1, 2)))


@pytest.mark.parametrize(("strategy", "offload", "method", "micros"), CASES)
def test_the_named_tensors_of_the_peak_sum_to_it_and_a_sweep_agrees(
    strategy: str, offload: str, method: str, micros: int
) -> None:
    scenario = asked(strategy, training={"method": method, "grad_accumulation": micros}, offload=offload)
    peak = memcalc.estimate(scenario).peak["tensors"]
    told = timeline(scenario)
    assert sum(one.total for one in told.tensors) == peak == told.points[told.peak].total
    assert memcalc.sweep(scenario, batch=[1, 3], seq_len=[64]).tensors[0, 0] == peak


@pytest.mark.parametrize(
    ("scenario", "field"),
    [
        (asked("zero2", "bf16-mixed"), "precision"),
        (asked("zero2", "fp16"), "precision"),
        (asked("zero2", training={"optimizer": "muon"}), "training.optimizer"),
        (asked("zero2", training={"zero_grad": "keep"}), "training.zero_grad"),
        (asked("zero2", training={"gradient_dtype": "fp32"}), "training.gradient_dtype"),
        (asked("zero2", offload="parameters"), "parallel.offload"),
    ],
)
def test_what_deepspeed_does_not_run_is_refused(scenario: dict[str, Any], field: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        memcalc.estimate(scenario)
    assert caught.value.field == field
