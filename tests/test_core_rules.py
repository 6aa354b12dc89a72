"""The rules of the mechanism, against calculations by hand that stand in the tests."""

from __future__ import annotations

import gc

import pytest

from memcalc.architectures.spec import templates
from memcalc.formats import Format, wider
from memcalc.tensors import ops
from memcalc.tensors.autograd import Autocast, backward, checkpointed, graph_leaf
from memcalc.tensors.ops import AttentionCall, chosen_kernel
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Record, Tape, rounded
from memcalc.tensors.tensor import Parameter, Tensor
from memcalc.tensors.timeline import Segment, alive, climb, segments, summit

KB = 1024


def record(size: int) -> Record:
    return Record(size, (size,), Format.BOOL, "test", "temporary", 0)


def test_every_request_is_rounded_up_to_512_bytes() -> None:
    # c10: kMinBlockSize = 512
    assert [rounded(size) for size in (0, 1, 512, 513)] == [0, 512, 512, 1024]


def test_formats_have_torchs_sizes_and_promotion() -> None:
    assert [one.size for one in (Format.FP32, Format.BF16, Format.FP16, Format.INT64, Format.BOOL)] == [4, 2, 2, 8, 1]
    assert wider(Format.BF16, Format.FP32) is Format.FP32
    assert wider(Format.BF16, Format.FP16) is Format.FP32


def test_a_storage_lives_as_long_as_something_holds_it() -> None:
    tape = Tape()
    first = fresh(tape, (256,), Format.FP32, "a")  # 1 KB
    view = first.view(16, 16)
    del first
    second = fresh(tape, (512,), Format.FP32, "b")  # 2 KB
    del view, second
    assert tape.events == [0, 1, ~0, ~1] or tape.events == [0, 1, ~1, ~0]
    level, peak = climb(segments(tape))
    assert (level, peak) == (0, 3 * KB)


def test_segments_compose_and_repeat_as_if_run_one_by_one() -> None:
    """(n, p) R times over is (R·n, p + max(0, (R - 1)·n)): here against the plain running sum."""
    shapes = [[(1, 500), (1, 300), (-1, 300)], [(1, 100), (-1, 600), (1, 50)], [(-1, 400), (1, 900), (-1, 900)]]
    for deltas in shapes:
        for repeat in (1, 2, 7):
            steps, records = [sign * size for sign, size in deltas], [record(size) for _, size in deltas]
            one = Segment("forward", "block", repeat, 0, steps, records)
            one.measure()
            level = best = 0
            for _ in range(repeat):
                for sign, size in deltas:
                    level += sign * size
                    best = max(best, level)
            assert one.total_net == level
            assert max(0, one.total_peak) == best


def test_the_summit_lies_in_the_last_repetition_of_what_grows() -> None:
    grow = Segment("backward", "blocks", 5, 0, [100, 30, -30], [record(100), record(30), record(30)])
    grow.measure()
    found = summit([grow])
    assert found is not None
    assert (found.repetition, found.event) == (4, 1)
    assert sum(count * one.bytes for count, one in alive([grow], found)) == 5 * 100 + 30


def linear(tape: Tape, tokens: int = 64, width: int = 32, trained: bool = True) -> tuple[Tensor, Parameter]:
    x = fresh(tape, (1, tokens, width), Format.FP32, "x")
    x.node = graph_leaf(tape)
    return x, Parameter("w", (width, width), Format.FP32, trainable=trained)


def test_a_linear_layer_keeps_its_input_only_for_its_weights_gradient() -> None:
    """x: 64·32·4 B = 8 KB. Trained: x is kept; frozen: nothing is, the weight lives anyway."""
    for trained, kept in ((True, 8 * KB), (False, 0)):
        tape = Tape()
        x, weight = linear(tape, trained=trained)
        out = ops.linear(x, weight)
        del x
        live = sum(tape.records[e].bytes if e >= 0 else -tape.records[~e].bytes for e in tape.events)
        assert live == kept + 8 * KB  # what is kept, and the output
        del out


def test_gradients_are_summed_in_place_unless_the_first_is_a_view() -> None:
    """Two linear layers on one x: their input gradients leave through views, so the sum is a third tensor."""
    tape = Tape()
    x, first = linear(tape)
    second = Parameter("v", (32, 32), Format.FP32)
    both = ops.add(ops.linear(x, first), ops.linear(x, second))
    del x
    backward(tape, both)
    assert [one.op for one in tape.records].count("add (gradients)") == 1
    tape = Tape()
    x, _ = linear(tape)
    both = ops.add(ops.silu(x), ops.silu(x))
    del x
    backward(tape, both)
    assert "add (gradients)" not in [one.op for one in tape.records]


def test_a_tied_weight_gathers_its_gradients_before_they_count() -> None:
    """Embedding and head of one table: the head's gradient waits as a view, the sum is a third copy of V·h."""
    tape = Tape()
    table = Parameter("embedding", (100, 32), Format.FP32)  # 12,800 B
    ids = fresh(tape, (1, 8), Format.INT64, "ids")
    logits = ops.linear(ops.embedding(ids, table), table)
    backward(tape, logits)
    sizes = [one.bytes for one in tape.records]
    assert sizes.count(12_800) == 3
    assert table.grad is not None
    assert table.grad.storage.record.component == "gradients"


def test_a_second_micro_batch_adds_into_the_gradient_in_place() -> None:
    tape = Tape()
    x, weight = linear(tape)
    for _ in range(2):
        backward(tape, ops.linear(x, weight))
    kept = [one for one in tape.records if one.component == "gradients"]
    assert len(kept) == 1


def test_autocast_keeps_one_copy_of_a_weight_until_it_ends() -> None:
    """32·32 fp32 weight: one bf16 copy of 2 KB, though it is used twice."""
    tape = Tape()
    x, weight = linear(tape)
    tape.autocast = Autocast(Format.BF16)
    out = ops.linear(ops.linear(x, weight), weight)
    assert [one.bytes for one in tape.records if one.op == "to (weight)"] == [2 * KB]
    tape.autocast = None
    assert out.format is Format.BF16


def test_a_checkpointed_block_keeps_its_input_and_stops_computing_where_it_may() -> None:
    """silu(linear(x)): the input x (8 KB) is kept; computed again: the product that silu keeps, not silu itself."""
    tape = Tape()
    x, weight = linear(tape)
    out = checkpointed(tape, lambda: ops.silu(ops.linear(x, weight)), [x])
    before = len(tape.records)
    backward(tape, out)
    again = [one.op for one in tape.records[before:]]
    assert again.count("mm") == 1
    assert "silu" not in again


@pytest.mark.parametrize(
    ("fmt", "head", "grouped", "masked", "wish", "capability", "kernel"),
    [
        (Format.BF16, 128, True, False, "sdpa", 8.0, "flash"),
        (Format.BF16, 128, False, True, "sdpa", 8.0, "efficient"),
        (Format.FP32, 64, False, False, "sdpa", 8.0, "efficient"),
        (Format.FP32, 64, True, False, "sdpa", 8.0, "math"),
        (Format.BF16, 512, False, False, "sdpa", 8.0, "efficient"),
        (Format.FP16, 128, False, False, "sdpa", 7.5, "efficient"),
        (Format.BF16, 128, False, False, "sdpa", 7.5, "math"),
        (Format.BF16, 128, False, False, "math", 8.0, "math"),
        (Format.BF16, 128, True, False, "efficient", 8.0, "math"),
        (Format.FP32, 62, False, False, "sdpa", 8.0, "math"),
    ],
)
def test_the_attention_kernel_is_the_one_torch_picks(
    fmt: Format, head: int, grouped: bool, masked: bool, wish: str, capability: float, kernel: str
) -> None:
    """sdp_utils.cpp of torch 2.13: flash, else memory-efficient, else math."""
    assert chosen_kernel(fmt, head, grouped, masked, AttentionCall(wish, capability)) == kernel


def test_flash_attention_keeps_what_the_layer_tables_list() -> None:
    """b 2, 4 heads of 16, 96 tokens in bf16: q, k, v, out 24 KB each; log-sum-exp 2·4·96·4 B = 3 KB; two rng blocks."""
    tape = Tape()
    leaf = graph_leaf(tape)
    q, k, v = (fresh(tape, (2, 4, 96, 16), Format.BF16, name) for name in "qkv")
    for one in (q, k, v):
        one.node = leaf
    out = ops.attend(q, k, v, None, False, AttentionCall(), 0.0)
    del q, k, v, one
    live = sum(tape.records[e].bytes if e >= 0 else -tape.records[~e].bytes for e in tape.events)
    assert live == 4 * 24 * KB + 3 * KB + 2 * 512
    del out


@pytest.mark.parametrize(
    ("pattern", "run"),
    [("a", 1), ("aaa", 3), ("a" * 32, 3), ("ab" * 12, 6), ("aab" * 5 + "a", 10), ("a" * 21 + "b" * 7, 6), ("abcd", 4)],
)
def test_templates_stand_for_all_layers(pattern: str, run: int) -> None:
    """First and last of what repeats are run as they are, one in between stands for the rest."""
    plan = templates(list(pattern))
    assert len(plan) == run
    assert sorted(pattern[one.layer] for one in plan for _ in range(one.repeat)) == sorted(pattern)


def test_nothing_is_left_for_the_garbage_collector() -> None:
    """Births and deaths rest on reference counts: a cycle would keep tensors alive, and feed a collector that the
    dashboard does not run after each click."""
    import memcalc

    memcalc.estimate({"model": "gpt2", "task": "train", "training": {"checkpointing": "full"}})
    gc.collect()
    gc.disable()
    try:
        memcalc.estimate({"model": "gpt2", "task": "train", "training": {"checkpointing": "full"}})
        memcalc.estimate({"model": "gpt2", "task": "train", "precision": "bf16-mixed"})
        memcalc.estimate({"model": "gpt2", "task": "infer"})
        found = [one for one in gc.get_objects() if isinstance(one, Tensor)]
        assert not found
        assert gc.collect() < 50
    finally:
        gc.enable()
