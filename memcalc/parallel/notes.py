"""What an estimate for many GPUs has to say about its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memcalc.architectures.program import Program
from memcalc.parallel.zero import reduce_bucket
from memcalc.parallel.zero3 import REUSE, Sizes
from memcalc.training.notes import GUESSED
from memcalc.units import binary

if TYPE_CHECKING:
    from memcalc.question import Question


def parallel_notes(question: Question, program: Program) -> list[str]:
    """The assumptions, each a sentence; none for one card."""
    scenario = question.scenario
    parallel = scenario.parallel
    if parallel.cards == 1:
        return []
    notes = [f"every size is one card's, of {parallel.cards:,}; the micro-batch is one card's too"]
    if parallel.tensor > 1:
        notes += _tensor(question)
    if scenario.task != "train":
        return notes
    if parallel.shards == "ddp":
        notes += _ddp(question)
    elif parallel.shards == "fsdp2":
        notes += _fsdp2(question)
    elif parallel.shards is not None:
        notes += _deepspeed(question)
    host = question.standing(program).host
    if host:
        notes.append(f"offload: {binary(host)} for each card lie in the computer's own memory, where the step is made")
    return notes


def _tensor(question: Question) -> list[str]:
    cards, spec, whole = question.scenario.parallel.tensor, question.model.spec, question.whole
    notes = [
        f"tensor parallel as Megatron's: each card has {spec.heads} of {whole.heads} heads, a feed-forward of "
        f"{spec.ffn:,} of {whole.ffn:,} and {spec.vocab:,} of {whole.vocab:,} words; norms are whole on each, "
        + ("hidden states divided by length" if question.scenario.parallel.sequence else "hidden states too")
        + "; read in the source, never traced"
    ]
    if whole.kv_heads < cards:
        notes.append(f"tensor parallel: {whole.kv_heads} key heads over {cards} cards, so that each is on several")
    if question.scenario.task == "train":
        notes.append("tensor parallel: the loss over split logits takes what the usual one takes for its part")
    elif question.scenario.inference.runtime != "forward":
        notes.append("tensor parallel: the last position's logits, gathered for the next token, are not counted")
    return notes


def _ddp(question: Question) -> list[str]:
    scenario = question.scenario
    if scenario.training.gradient_dtype is not None:
        return ["DDP as Megatron's: the fp32 gradients are the buckets"]
    if scenario.parallel.bucket_view:
        return ["DDP: gradients are views of the buckets (gradient_as_bucket_view=True)"]
    return [
        "DDP: gradients lie twice in memory, as such and in the buckets (gradient_as_bucket_view=False, the default)"
    ]


def _fsdp2(question: Question) -> list[str]:
    scenario = question.scenario
    notes = ["FSDP2: fully_shard on every block and on the model, which keeps what lies outside the blocks whole"]
    if scenario.precision.endswith(("-mixed", "-master")):
        fmt = scenario.precision.partition("-")[0]
        notes.append(
            f"FSDP2's mixed precision: fp32 shards, {fmt} parameters gathered, gradients reduced in fp32 "
            f"(MixedPrecisionPolicy(param_dtype={fmt}, reduce_dtype=float32)); no autocast, no second master copy"
        )
    if scenario.training.grad_accumulation > 1:
        notes.append("FSDP2: gradients are reduced after every micro-batch (no set_requires_gradient_sync(False))")
    notes.append("FSDP2: what the all-gather stream keeps reserved for itself, about one block, is not counted")
    return notes


def _deepspeed(question: Question) -> list[str]:
    scenario = question.scenario
    parallel = scenario.parallel
    assert parallel.shards is not None
    stage = int(parallel.shards[-1])
    hidden = question.model.spec.hidden
    bucket = reduce_bucket(parallel.buckets, hidden)
    whose = "DeepSpeed's default" if parallel.buckets == "deepspeed" else "what Hugging Face fills in for auto"
    notes = [
        f"ZeRO stage {stage} as DeepSpeed 0.19.8 runs it, read in its source and never traced: the range is "
        f"{GUESSED[parallel.shards]:.0%} wider each way",
        f"DeepSpeed's reduce bucket: {bucket:,} values ({whose}), allocated whole however small the model is",
    ]
    if scenario.precision == "bf16":
        notes.append("all in bf16: bf16_master_weights_and_grads and bf16_optimizer_states; DeepSpeed's usual bf16 is "
                     "bf16-master")  # fmt: skip
    if scenario.training.method == "lora":
        notes.append("DeepSpeed casts the adapters to the model's format")
    if stage == 3:
        notes.append(
            f"ZeRO-3: tensors of at most {Sizes.of(parallel.buckets, bucket, hidden).persistent:,} values stay whole; "
            f"what is needed again within {REUSE:,} values around the turn to backward is not let go"
        )
    else:
        notes.append("ZeRO: the rank whose share reaches into the most and largest tensors is meant")
    return notes
