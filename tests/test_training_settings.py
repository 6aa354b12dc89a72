"""Training settings that no trace can judge, against sums done by hand; and the event log against the timeline."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import memcalc
from memcalc.allocator.expand import event_log, replay_scenario
from memcalc.errors import MemcalcError, ScenarioError
from memcalc.formats import Format
from memcalc.question import Question
from memcalc.stages import highest
from memcalc.tensors.autograd import Autocast, graph_leaf
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.fused import chunk_rows, fused_linear_cross_entropy
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter
from memcalc.tensors.timeline import segments
from memcalc.training.optimizers import IMPLEMENTATIONS

# Vocabulary 1024, width 256, feed-forward 512, 4 layers, 4 heads of 64, as many key heads, head not tied.
CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 1024, "hidden_size": 256,
    "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}  # fmt: skip
SQUARES, WIDE, NORMS, TABLES = 4 * 4, 4 * 3, 4 * 2 + 1, 2
"""Tensors: 256 x 256 (attention), 256 x 512 (feed-forward), 256 (norms), 1024 x 256 (embedding and head)."""
S, W, T = 256 * 256, 256 * 512, 1024 * 256
ROTARY = 2 * 512


def up(size: float) -> int:
    """Rounded up to the allocator's 512 bytes."""
    return int(-(-size // 512) * 512)


def answer(precision: str = "bf16", **training: Any) -> memcalc.Estimate:
    return memcalc.estimate(
        {"model": {"config": CONFIG}, "task": "train", "precision": precision, "seq_len": 32, "training": training}
    )


def states(**training: Any) -> int:
    return answer(**training).component_peak["optimizer"]


def test_adamw_8bit_takes_a_byte_a_value_and_keeps_small_tensors_in_fp32() -> None:
    # A tensor of n values: two states of n bytes, two absmax of 4 n / 256 bytes. Norms of 256 values: two fp32 states.
    large = SQUARES * 2 * (S + S // 64) + WIDE * 2 * (W + W // 64) + TABLES * 2 * (T + T // 64)
    assert states(optimizer="adamw-8bit") == large + NORMS * 2 * 1024 + 2 * 1024  # and two code maps


def test_lion_8bit_keeps_one_state_and_paged_32_bit_states_are_fp32() -> None:
    one = SQUARES * (S + S // 64) + WIDE * (W + W // 64) + TABLES * (T + T // 64)
    assert states(optimizer="lion-8bit") == one + NORMS * 1024 + 1024  # fp32 for norms of 256 values; one code map
    # 65,536 values lie below the 100,000 from which on states are paged; bf16 weights have fp32 states.
    assert states(optimizer="paged-adamw-32bit") == SQUARES * 2 * 4 * S + NORMS * 2 * 1024


def test_paged_states_lie_outside_torchs_allocator() -> None:
    # From 100,000 values on the states are in managed memory: 131,072 and 262,144 values are, 65,536 are not.
    absmax = SQUARES * 2 * S // 64 + WIDE * 2 * W // 64 + TABLES * 2 * T // 64
    assert states(optimizer="paged-adamw-8bit") == SQUARES * 2 * S + absmax + NORMS * 2 * 1024 + 2 * 1024
    paged = (WIDE * 2 * W + TABLES * 2 * T) / 2**20
    assert any(f"{paged:g}" in one and "managed" in one for one in answer(optimizer="paged-adamw-8bit").assumptions)


def test_muon_keeps_one_moment_of_the_matrices_and_two_of_the_rest() -> None:
    assert states(optimizer="muon") == 2 * (SQUARES * S + WIDE * W + 2 * TABLES * T + 2 * NORMS * 256)


def test_lion_and_lamb() -> None:
    whole = 2 * (SQUARES * S + WIDE * W + TABLES * T + NORMS * 256)
    tensors = SQUARES + WIDE + NORMS + TABLES
    assert states(optimizer="lion") == whole
    assert states(optimizer="lamb", optimizer_impl="for-loop") == 2 * whole + tensors * 3 * 512


def test_galore_and_apollo_keep_a_projector_and_two_moments_in_its_space() -> None:
    # Rank 16. Square: projector 16 x 256, moments 256 x 16. gate, up (512 x 256): projector 16 x 256, moments 512 x 16.
    # down (256 x 512): projector 256 x 16, moments 16 x 512. Others: two full moments.
    square, wide = 3 * 16 * 256, 16 * 256 + 2 * 16 * 512
    matrices = 2 * (SQUARES * square + WIDE * wide)
    others = 2 * 2 * (TABLES * T + NORMS * 256)
    options = {"optimizer_options": {"rank": 16}}
    assert states(optimizer="galore", **options) == matrices + others
    assert states(optimizer="apollo", **options) == matrices + others + (SQUARES + WIDE) * 512  # norms of the updates


def test_adam_mini_keeps_one_second_moment_a_head_or_a_row() -> None:
    # bf16: 4 heads of q and k (a block of 512 B); rows of v, o 256; gate and up 512, down 256; embedding and head 1024;
    # one number a norm.
    first = 2 * (SQUARES * S + WIDE * W + TABLES * T + NORMS * 256)
    rows = SQUARES * 512 + 4 * (2 * 1024 + 512) + TABLES * 2048 + NORMS * 512
    assert states(optimizer="adam-mini") == first + rows


@pytest.mark.parametrize(("weights", "nested"), [("nf4", False), ("nf4-dq", True)])
def test_a_quantised_base_weighs_half_a_byte_and_its_scales(weights: str, nested: bool) -> None:
    def stored(n: int) -> int:
        codes = 512  # 16 fp32 values
        if not nested:
            return n // 2 + up(n / 64 * 4) + codes
        return n // 2 + up(n / 64) + up(n / 64 / 256 * 4) + 512 + 1024 + codes

    found = answer("bf16-mixed", method="qlora", base_weights=weights, lora={"r": 8, "targets": ["q_proj"]})
    base = SQUARES * stored(S) + WIDE * stored(W) + 4 * (TABLES * T) + NORMS * 1024 + ROTARY  # the rest upcast to fp32
    adapters = 4 * 2 * 8 * 256 * 4
    assert found.at_peak["weights"] == base + adapters
    assert found.persistent == base + 4 * adapters
    assert found.parameters["total"] == SQUARES * S + WIDE * W + TABLES * T + NORMS * 256 + adapters // 4


def test_the_head_alone_has_gradients_and_states() -> None:
    found = answer(method="head")
    assert found.parameters["trainable"] == T
    assert found.component_peak["gradients"] == 2 * T
    assert found.component_peak["optimizer"] == 2 * 2 * T


def test_fused_loss_holds_one_chunk_of_logits() -> None:
    # 8192 tokens, vocabulary 1024, width 256: 4 parts of 2048 rows.
    assert chunk_rows(8192, 1024, 256) == 2048
    assert chunk_rows(100, 32000, 4096) == 16  # ceil(100 / 8) = 13, then the next power of two
    config = CONFIG | {"vocab_size": 32768}
    scenario = {"model": {"config": config}, "task": "train", "batch": 4, "seq_len": 2048}
    plain = memcalc.estimate(scenario)
    fused = memcalc.estimate(scenario | {"training": {"loss": "fused"}})
    # The standard loss peaks with three fp32 tensors of tokens x vocabulary; the fused one never has a whole one, only
    # 64 rows, and the head's gradient (2 x 32768 x 256 bytes).
    assert plain.peak["tensors"] - fused.peak["tensors"] > 11 * 8192 * 32768
    assert fused.range["allocated"][0] == fused.peak["tensors"]  # traced


def test_what_of_liger_was_only_read_widens_the_range_and_what_it_has_not_is_ignored() -> None:
    followed, read, none = (
        memcalc.estimate({"model": name, "task": "train", "training": {"liger": True}})
        for name in ("Llama-3.2-1B", "Mixtral-8x7B", "gpt2")
    )
    assert followed.range["allocated"][0] == followed.peak["tensors"]
    assert read.range["allocated"][0] < 0.985 * read.peak["tensors"]
    assert any("not traced" in one for one in read.assumptions)
    assert none.peak == memcalc.estimate({"model": "gpt2", "task": "train"}).peak
    assert any("Liger has no kernels for gpt2" in one for one in none.assumptions)


def test_a_head_alone_cannot_be_trained_with_ligers_fused_loss() -> None:
    """Its code makes no gradient of the head where the hidden states need none, and then fails."""
    with pytest.raises(memcalc.ScenarioError) as caught:
        memcalc.estimate({"model": "Llama-3.1-8B", "task": "train", "training": {"method": "head", "loss": "fused"}})
    assert caught.value.field == "training.loss"
    memcalc.estimate({"model": "gpt2", "task": "train", "training": {"method": "head", "loss": "fused"}})  # tied


@pytest.mark.parametrize(
    ("precision", "frozen", "chunk"),
    [
        # bf16: the logits; the products are added into the gradients in place.
        ("bf16", False, 2 * 64 * 32768),
        # fp32: the logits, and a product of the weight's size before it is added to the gradient.
        ("fp32", False, 4 * 64 * 32768 + 4 * 32768 * 256),
        # Autocast: logits in 16 bits, the cached 16-bit copy of the weight, that of its view and that of 64 rows.
        ("bf16-mixed", False, 2 * 64 * 32768 + 2 * 2 * 32768 * 256 + 2 * 64 * 256),
        # A frozen weight has no gradient, and autocast caches nothing of it: a copy beside the gradient of 64 rows.
        ("bf16", True, 2 * 64 * 32768),
        ("bf16-mixed", True, 2 * 64 * 32768 + 2 * 32768 * 256 + 2 * 64 * 256),
    ],
)
def test_fused_loss_beside_its_gradients(precision: str, frozen: bool, chunk: int) -> None:
    """What Liger's function [0.8.5 ops/fused_linear_cross_entropy.py] makes for 8192 tokens, vocabulary 32768, width
    256 (chunks of 64 rows), between its gradients and its return, by hand."""
    wide, trained = (2 if precision == "bf16" else 4), not frozen
    fmt = Format.BF16 if precision == "bf16" else Format.FP32
    tape = Tape()
    tape.autocast = Autocast(Format.BF16) if precision == "bf16-mixed" else None
    hidden = fresh(tape, (4, 2048, 256), fmt, "hidden")
    hidden.node = graph_leaf(tape)
    tape.begin("forward", "loss")
    fused_linear_cross_entropy(hidden, Parameter("head", (32768, 256), fmt, trainable=trained))
    gradients = wide * 8192 * 256 + trained * wide * 32768 * 256
    assert segments(tape)[-1].peak == gradients + 8192 * 4 + 8192 + chunk  # and a loss and a flag a token


def test_fused_kernels_keep_less() -> None:
    """Liger, bf16, N tokens: a norm keeps its input (2 h) and 4 B a row instead of 8 h + 4; SwiGLU keeps 4 i instead
    of 8 i (the product is kept by the next layer either way)."""
    tokens, h, i, layers = 4 * 2048, 256, 512, 4
    scenario = {"model": {"config": CONFIG}, "task": "train", "batch": 4, "seq_len": 2048}
    plain, fused = (
        memcalc.estimate(scenario | {"training": {"liger": on}}).component_peak["activations"] for on in (False, True)
    )
    # Norm: fp32 copy 4 h, normalised 2 h gone; the residual 2 h is now kept. SwiGLU: silu's output 2 i gone.
    saved = layers * tokens * (2 * (4 + 2 - 2) * h + 2 * i) + tokens * 4 * h
    assert plain - fused == pytest.approx(saved, rel=0.02)


def test_recomputed_attention_lies_between_none_and_full() -> None:
    scenario = {"model": {"config": CONFIG}, "task": "train", "batch": 4, "seq_len": 512, "attention": "math"}
    none, selective, full = (
        memcalc.estimate(scenario | {"training": {"checkpointing": one}}).component_peak["activations"]
        for one in ("none", "selective-attention", "full")
    )
    assert full < selective < none
    # fp32 probabilities of 4 heads x 512 x 512, kept in each of 4 layers, are gone.
    assert none - selective >= 4 * 4 * 4 * 4 * 512 * 512


@pytest.mark.parametrize("optimizer", IMPLEMENTATIONS)
def test_every_optimizer_runs_and_never_needs_less_than_its_states(optimizer: str) -> None:
    for impl in IMPLEMENTATIONS[optimizer]:
        for precision in ("bf16", "fp32", "bf16-master"):
            found = answer(precision, optimizer=optimizer, optimizer_impl=impl)
            steps = {one["step"]: one["tensors"] for one in found.phases if one["name"] == "optimizer"}
            assert steps[2] >= found.persistent


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"checkpointing": "full", "grad_accumulation": 4},
        {"method": "lora", "lora": {"targets": "all-linear"}},
        {"method": "qlora", "checkpointing": "full"},
        {"loss": "fused", "liger": True},
        {"optimizer": "muon", "checkpointing": "selective-attention"},
        {"zero_grad": "keep", "optimizer": "adagrad", "ema": True},
    ],
)
@pytest.mark.parametrize("precision", ["bf16", "bf16-mixed", "bf16-master"])
def test_the_event_log_peaks_where_the_timeline_does(precision: str, training: dict[str, Any]) -> None:
    """Listing every tensor must give the level that adding up segments gives."""
    scenario = {"model": {"config": CONFIG}, "task": "train", "precision": precision, "batch": 2, "seq_len": 96}
    question = Question.read(scenario | {"training": training})
    level = peak = 0
    for size, _ in event_log(question).events:
        level += size
        peak = max(peak, level)
    from memcalc.estimate import laid_out

    assert peak == highest(laid_out(question, question.program()))


def test_the_event_log_of_a_generation_and_its_replay() -> None:
    scenario = {"model": {"config": CONFIG}, "batch": 2, "inference": {"prompt_tokens": 200, "new_tokens": 50}}
    found, replayed = memcalc.estimate(scenario), replay_scenario(scenario)
    workspace = found.overhead["workspace"]
    assert replayed.tensors == found.peak["tensors"] + workspace
    assert replayed.reserved >= replayed.allocated >= replayed.tensors


@pytest.mark.parametrize(
    ("training", "field"),
    [
        ({"activation_offload": True, "checkpointing": "full"}, "training.activation_offload"),
        ({"method": "prefix"}, "training.method"),
        ({"checkpointing": "selective"}, "training.checkpointing"),
        ({"optimizer": "galore", "optimizer_options": {"rank": 0}}, "training.optimizer_options.rank"),
        ({"method": "qlora", "base_weights": "int3"}, "training.base_weights"),
    ],
)
def test_what_is_not_supported_yet_says_so(training: dict[str, Any], field: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        answer(**training)
    assert caught.value.field == field


def test_dora_trains_a_length_for_every_row() -> None:
    """Four 256 x 256 projections a layer with rank 8: 2 x 8 x 256 values each, and 256 lengths."""
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    plain, dora = (answer(method=one, lora={"r": 8, "targets": targets}) for one in ("lora", "dora"))
    assert plain.parameters["trainable"] == SQUARES * 2 * 8 * 256
    assert dora.parameters["trainable"] == plain.parameters["trainable"] + SQUARES * 256


def test_selective_ops_keep_more_than_full_checkpointing_and_less_than_none() -> None:
    scenario = {"model": {"config": CONFIG}, "task": "train", "batch": 4, "seq_len": 512}
    kept = [
        memcalc.estimate(scenario | {"training": {"checkpointing": one}}).component_peak["activations"]
        for one in ("full", "selective-ops", "none")
    ]
    assert kept == sorted(kept)
    # A block keeps 4 results of 256 values a token, 3 of 512 (256 for down), in bf16, and fp32 sums of 4 heads.
    tokens = 4 * 512
    results = tokens * (2 * (4 * 256 + 2 * 512 + 256) + 2 * 256 + 4 * 4)
    assert kept[1] - kept[0] == pytest.approx(4 * results, rel=0.02)


def test_offloaded_activations_leave_the_card() -> None:
    scenario = {"model": {"config": CONFIG}, "task": "train", "batch": 4, "seq_len": 512}
    found = memcalc.estimate(scenario | {"training": {"activation_offload": True}})
    assert found.component_peak["activations"] == 0
    assert memcalc.estimate(scenario).component_peak["activations"] > 4 * 4 * 512 * 256 * 16


def test_clipping_takes_a_norm_for_every_gradient() -> None:
    from memcalc.tensors.tensor import Parameter
    from memcalc.training.standing import clip_bytes

    parameters = [Parameter("w", (4, 4), Format.FP32, repeat=300)]
    assert clip_bytes(parameters) == 300 * 512 + 1536 + 512  # 300 norms, 1,200 bytes stacked, their norm


def test_fused_swiglu_writes_over_what_came_back_from_the_host() -> None:
    """Offloaded, gate and up come back as copies, and LigerSiLUMul writes their gradients over those: no more than
    Liger without offloading ever holds beside its kept tensors."""
    scenario = {"model": "Llama-3.2-1B", "task": "train", "seq_len": 512, "training": {"liger": True}}
    usual = memcalc.estimate(scenario)
    moved = memcalc.estimate({**scenario, "training": {"liger": True, "activation_offload": True}})
    assert moved.component_peak["activations"] < usual.component_peak["activations"] / 4
    assert moved.peak["tensors"] <= usual.peak["tensors"]


def test_adapters_reach_all_linear_layers_where_peft_has_no_usual_ones() -> None:
    scenario = {"model": "gpt-oss-20b", "task": "train"}
    unnamed = memcalc.estimate(scenario | {"training": {"method": "lora"}})
    named = memcalc.estimate(scenario | {"training": {"method": "lora", "lora": {"targets": "all-linear"}}})
    assert unnamed.parameters == named.parameters
    assert any("PEFT has no usual targets" in one for one in unnamed.assumptions)


def test_qlora_says_that_it_makes_experts_larger() -> None:
    found = memcalc.estimate({"model": "Mixtral-8x7B", "task": "train", "training": {"method": "qlora"}})
    experts = 32 * 8 * 3 * 4096 * 14336
    assert any(f"{experts:,} values are upcast to fp32" in one for one in found.assumptions)
    assert found.at_peak["weights"] > 4 * experts


@pytest.mark.parametrize("method", ["full", "lora", "dora", "qlora", "head"])
@pytest.mark.parametrize("checkpointing", ["none", "full", "selective-attention", "selective-ops"])
def test_every_combination_of_savers_answers_or_is_refused_by_name(method: str, checkpointing: str) -> None:
    """Advice tries them all: none may end in anything but an estimate or a refusal."""
    for offload, liger, loss in itertools.product((False, True), (False, True), ("standard", "fused")):
        training = {"method": method, "checkpointing": checkpointing, "activation_offload": offload}
        scenario = {"model": "SmolLM2-135M", "task": "train", "training": training | {"liger": liger, "loss": loss}}
        try:
            assert memcalc.estimate(scenario).peak["tensors"] > 0
        except MemcalcError:
            continue


@pytest.mark.parametrize(
    ("lora", "method", "field"),
    [
        ({"targets": ["gate_proj"]}, "lora", "training.lora.targets"),  # up_proj lies in the same parameter
        ({"targets": "all-linear", "dropout": 0.1}, "lora", "training.lora.dropout"),
        ({"targets": "all-linear"}, "dora", "training.lora.targets"),
        ({"targets": ["w1"]}, "lora", "training.lora.targets"),  # Mixtral's name
    ],
)
def test_what_peft_cannot_adapt_of_a_mixture_of_experts_is_refused(
    lora: dict[str, object], method: str, field: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        memcalc.estimate(
            {"model": "Qwen3-30B-A3B", "task": "train", "seq_len": 512, "training": {"method": method, "lora": lora}}
        )
    assert refused.value.field == field


def test_adapters_of_mixtral_by_hand() -> None:
    """32 layers, rank 16. PEFT's usual targets: q_proj 4096 x 4096 and v_proj 4096 x 1024; all linear ones: o, k,
    the router (8 x 4096), and for each of 8 experts gate and up as one (28,672 x 4096, twice the rank) and down."""
    scenario = {"model": "Mixtral-8x7B", "task": "train"}
    usual = memcalc.estimate(scenario | {"training": {"method": "lora"}})
    everything = memcalc.estimate(scenario | {"training": {"method": "lora", "lora": {"targets": "all-linear"}}})
    attention = (4096 + 4096) + (4096 + 1024)
    experts = 8 * (2 * (4096 + 28_672) + (14_336 + 4096))
    assert usual.parameters["trainable"] == 32 * 16 * attention
    assert everything.parameters["trainable"] == 32 * 16 * (2 * attention + (4096 + 8) + experts)
