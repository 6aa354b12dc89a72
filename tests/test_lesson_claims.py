"""What the lessons tell a reader to remember, and their rules that no other test looks at: recomputed from estimates of
scenarios that are written out here, from traces' arithmetic, or by hand."""

from __future__ import annotations

import numpy as np
import pytest

import memcalc
from memcalc import units
from memcalc.estimate import Estimate
from memcalc.learn.lesson import Rule, Shown
from memcalc.learn.lessons import (
    LESSONS,
    accumulate,
    batch,
    cards,
    context,
    moment,
    precision,
    saving,
    tuning,
    where,
    worth,
)

MODELS = ("gpt2", "Llama-3.1-8B")
LLAMA = 8_030_261_248  # parameters of Llama-3.1-8B, as published


def train(model: str, **more: object) -> Estimate:
    return memcalc.estimate({"model": model, "task": "train", "precision": "bf16-mixed", "seq_len": 1024, **more})


def infer(model: str, **more: object) -> Estimate:
    """A text as long as the model can read, or of 1,024 tokens, and 128 new ones."""
    prompt = 1024 - 127 if model == "gpt2" else 1024
    inference = {"prompt_tokens": prompt, "new_tokens": 128, **(more.pop("inference", {}))}  # type: ignore[dict-item]
    return memcalc.estimate({"model": model, "task": "infer", "inference": inference, **more})


def device(found: Estimate) -> int:
    return int(found.peak["device"])


def percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def rule(shown: Shown, start: str) -> Rule:
    (found,) = [one for one in shown.rules if one.text.startswith(start)]
    return found


def remembered(number: int, model: str) -> str:
    lesson = LESSONS[number - 1]
    return " ".join(lesson.remember(lesson.usual(model)))


@pytest.mark.parametrize("model", MODELS)
def test_1_what_is_counted_by_the_token(model: str) -> None:
    """Two lengths by hand: what the activations grow by for each token; what would be left without any are the copies
    in 16 bits, two bytes for each parameter of a matrix."""
    long, short = (train(model, seq_len=one) for one in (1024, 512))
    grows = (long.component_peak["activations"] - short.component_peak["activations"]) / 512
    said = remembered(1, model)
    assert f"counted per token ({units.binary(grows)} each here)" in said
    assert f"16 with AdamW in mixed precision, so {units.binary(long.persistent)}" in said
    copies = long.component_peak["activations"] - 1024 * grows
    assert any(f"{units.binary(copies)} of 16-bit copies" in one for one in where.show(where.LESSON.usual(model)).notes)
    if model != "gpt2":  # whose embedding is its head's matrix as well
        embedding = 128_256 * 4_096
        assert copies == pytest.approx(2 * (LLAMA - embedding), rel=0.001)
    besides = device(long) - sum(long.at_peak[one] for one in ("weights", "gradients", "optimizer"))
    assert f"also holds {units.binary(besides)} " in where.show(where.LESSON.usual(model)).rules[0].sentence


@pytest.mark.parametrize("model", MODELS)
def test_2_no_single_percentage_is_true(model: str) -> None:
    used = device(infer(model))
    shares = [1 - used / device(train(model, **one)) for one in (
        {}, {"precision": "bf16", "training": {"optimizer": "sgd"}}, {"training": {"method": "lora"}})]  # fmt: skip
    said = remembered(2, model)
    assert f"AdamW in mixed precision that is {percent(shares[0])} less" in said
    assert f"{percent(shares[1])} less for 16 bits throughout with plain SGD" in said
    assert f"{percent(shares[2])} less for LoRA adapters" in said
    assert len({round(one, 1) for one in shares}) == 3
    gone = infer(model).component_peak
    assert (gone["gradients"], gone["optimizer"]) == (0, 0)
    assert saving.LESSON.usual(model)["sequences"] == 1


def test_2_the_saving_is_asked_for_at_every_setting_of_the_map() -> None:
    """The corners of the map over precision and optimizer, each by two estimates."""
    table = saving.maps(saving.LESSON.usual("gpt2"))[0]
    cells = {(row[0], name): cell for row in table.rows for name, cell in zip(table.columns[1:], row[1:], strict=True)}
    for form, optimizer in (("fp32", "adamw"), ("bf16", "sgd"), ("bf16-mixed", "lion"), ("bf16-master", "adafactor")):
        trained = device(train("gpt2", precision=form, training={"optimizer": optimizer}))
        used = device(infer("gpt2", precision="fp32" if form == "fp32" else "bf16"))
        assert cells[form, optimizer] == percent(1 - used / trained)


def test_3_the_rule_of_the_fifth_is_marked_where_it_is_true_and_nowhere_else() -> None:
    case = batch.LESSON.usual("Llama-3.1-8B")
    half, *others = batch.maps(case)
    for table in others:
        for i, row in enumerate(table.rows):
            for j, cell in enumerate(row[1:], 1):
                share = float(cell.split()[0])
                if share not in (5.0, 10.0):  # rounded: either side
                    assert ((i, j) in table.marked) == (5 < share < 10), (row[0], cell)
    at = half.columns.index("1,024")
    (row,) = [one for one in half.rows if one[0] == "20"]
    assert row[at] == percent(device(train("Llama-3.1-8B", batch=10)) / device(train("Llama-3.1-8B", batch=20)))


@pytest.mark.parametrize("model", MODELS)
def test_3_inference_has_a_flatter_line(model: str) -> None:
    slopes = [(device(ask(model, batch=60)) - device(ask(model, batch=50))) / 10 for ask in (train, infer)]
    said = remembered(3, model)
    assert f"{units.binary(slopes[0])} for each text" in said
    assert slopes[1] < 0.2 * slopes[0]
    cheap = [device(infer(model, batch=one)) for one in (60, 30)]
    assert f"far flatter: {units.binary((cheap[0] - cheap[1]) / 30)} for each text" in said or model == "gpt2"


def test_4_gradients_added_piece_by_piece_are_those_of_the_whole_batch() -> None:
    """A network with one hidden layer and its backward pass by hand, in 64 bits: 16 texts at once, or 1, 2, 4, 8 pieces
    whose losses are divided by their number, as every training loop that accumulates does."""
    chance = np.random.default_rng(7)
    inputs, wanted = chance.normal(size=(16, 5)), chance.normal(size=(16, 3))
    first, second = chance.normal(size=(5, 4)), chance.normal(size=(4, 3))

    def gradients(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden = np.tanh(x @ first)
        error = 2 * (hidden @ second - y) / y.size  # of the mean of squares
        return x.T @ ((error @ second.T) * (1 - hidden**2)), hidden.T @ error

    whole = gradients(inputs, wanted)
    for pieces in accumulate.MICRO.values:
        parts = zip(np.split(inputs, pieces), np.split(wanted, pieces), strict=True)
        added = [sum(grads) / pieces for grads in zip(*(gradients(x, y) for x, y in parts), strict=True)]
        for one, other in zip(added, whole, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_4_checkpointing_keeps_a_share_of_the_activations(model: str) -> None:
    kept, plain = (
        train(model, batch=16, training={"checkpointing": one}).component_peak for one in ("full", "none")
    )  # fmt: skip
    said = remembered(4, model)
    assert f"keeps {percent(kept['activations'] / plain['activations'])} of the activations" in said
    for name in ("weights", "gradients", "optimizer"):
        assert kept[name] == plain[name]  # neither touches them
    pieces = train(model, batch=1, training={"grad_accumulation": 16})
    assert {name: pieces.component_peak[name] for name in ("weights", "gradients", "optimizer")} == {
        name: plain[name] for name in ("weights", "gradients", "optimizer")
    }
    share = device(pieces) / device(train(model, batch=16))
    found = rule(accumulate.show(accumulate.LESSON.usual(model)), "Accumulating")
    assert found.sentence.startswith(f"{percent(share)} of the memory remain, not {percent(1 / 16)}")


@pytest.mark.parametrize("model", MODELS)
def test_5_the_ratio_behind_the_rule_and_where_it_holds(model: str) -> None:
    case = worth.LESSON.usual(model)
    one, many = (device(train(model, batch=n)) / device(infer(model, batch=n)) for n in (1, 32))
    said = remembered(5, model)
    assert f"for {case.name} and one text it is {one:.{0 if one >= 9.95 else 1}f} times".lower() in said.lower()
    assert f"{many:.{0 if many >= 9.95 else 1}f} times at batch 32" in said
    formats, models = worth.maps(case)
    for table in (formats, models):
        for i, row in enumerate(table.rows):
            for j, cell in enumerate(row[1:], 1):
                if cell != "–" and cell not in ("80", "160"):  # rounded: either side
                    assert ((i, j) in table.marked) == (80 < int(cell.replace(",", "")) < 160)
    (row,) = [one for one in models.rows if one[0] == model]
    assert row[models.columns.index("batch 32")] == f"{16 * many:,.0f}"


@pytest.mark.parametrize("model", MODELS)
def test_6_every_halving_is_examined(model: str) -> None:
    shown = precision.show(precision.LESSON.usual(model))
    runs = {
        "Mixed precision": (train(model, precision="fp32"), train(model)),
        "16 bits throughout": (train(model, precision="fp32"), train(model, precision="bf16")),
        "16 bits halve": (infer(model, precision="fp32"), infer(model)),
        "8 bits": (infer(model), infer(model, inference={"weights": "int8"})),
        "4 bits": (infer(model, inference={"weights": "int8"}), infer(model, inference={"weights": "nf4"})),
    }
    for start, (first, second) in runs.items():
        share = device(second) / device(first)
        found = rule(shown, start)
        assert found.sentence == f"{percent(share)} remain."
        assert found.holds == (abs(share - 0.5) <= 0.05)
    assert len(shown.rules) == len(runs)
    said = remembered(6, model)
    in_four = device(infer(model, inference={"weights": "nf4"})) / device(infer(model, precision="fp32"))
    assert f"4 bits {percent(in_four)}." in said


def test_6_why_8_and_4_bits_are_more_than_8_and_4_bits() -> None:
    """By hand, Llama-3.1-8B with bitsandbytes: embedding, head and norms stay in 16 bits (2 × 128,256 × 4,096 and
    65 × 4,096 values), the rest has 1 B each and a scale of 4 B a row, or ½ B and a scale of 4 B a block of 64."""
    kept = 2 * 128_256 * 4_096 + 65 * 4_096
    in_four = (2 * kept + (LLAMA - kept) * (0.5 + 4 / 64)) / LLAMA
    (note,) = precision.show(precision.LESSON.usual("Llama-3.1-8B").at(bits="nf4")).notes
    assert float(note.split()[0]) == pytest.approx(in_four, abs=0.01)
    (note,) = precision.show(precision.LESSON.usual("Llama-3.1-8B").at(bits="int8")).notes
    assert float(note.split()[0]) == pytest.approx((2 * kept + LLAMA - kept) / LLAMA, abs=0.01)


def test_7_what_shrinks_and_what_does_not() -> None:
    """By hand: LoRA's states are 8 B for each of 6,815,744 trained parameters; an 8-bit optimizer's 2 B for each, and
    two 32-bit scales for each block of 256 (bitsandbytes); 4-bit weights 4.127 bits where the weights are matrices."""
    said = remembered(7, "Llama-3.1-8B")
    assert f"({units.binary(8 * LLAMA)} become {units.binary(8 * 6_815_744)} with LoRA)" in said
    eight = train("Llama-3.1-8B", training={"optimizer": "adamw-8bit"}).component_peak["optimizer"]
    assert eight == pytest.approx(LLAMA * (2 + 2 * 4 / 256), rel=0.02)
    assert f"keeps its states in {units.binary(eight)}" in said
    four = train("Llama-3.1-8B", precision="bf16", training={"method": "qlora"}).component_peak["weights"]
    assert f"{units.binary(four)} in 4 bits" in said
    full, lora = train("Llama-3.1-8B"), train("Llama-3.1-8B", precision="bf16", training={"method": "lora"})
    before, after = (one.component_peak["activations"] for one in (full, lora))
    sentence = tuning.show(tuning.LESSON.usual("Llama-3.1-8B")).rules[0].sentence
    assert f"{percent(after / before)} of the activations remain: of {units.binary(before - after)}" in sentence
    short = train("Llama-3.1-8B", seq_len=512).component_peak["activations"]
    assert f"{units.binary(before - 2 * (before - short))} were 16-bit copies" in sentence  # a line through two lengths


@pytest.mark.parametrize(
    ("model", "each", "times"),
    [("gpt2", 12 * 12 * 2 * 64 * 2, None), ("Llama-3.1-8B", 32 * 8 * 2 * 128 * 2, 4.0)],
)
def test_8_the_cache_and_what_shares_it(model: str, each: int, times: float | None) -> None:
    """Layers × heads of keys and values × 2 × values of a head × 2 B, by hand."""
    shown = context.show(context.LESSON.usual(model))
    found = rule(shown, "Grouped")
    assert units.binary(each) in found.sentence
    assert found.holds is (times is not None)
    if times is not None:
        assert f"{times:.1f} times less" in found.sentence
    assert f"keeps {units.binary(each)} for each token" in remembered(8, model)
    # The largest instant holds one layer's keys twice, while a new token is appended to them.
    whole, half = (infer(model, inference={"prompt_tokens": one, "new_tokens": 1}) for one in (512, 256))
    assert whole.component_peak["kv_cache"] - half.component_peak["kv_cache"] == pytest.approx(256 * each, rel=0.05)


def test_8_a_model_without_attention_is_named() -> None:
    case = context.LESSON.usual("mamba-130m-hf")
    assert infer("mamba-130m-hf").component_peak["kv_cache"] > 0  # its state, which has one size
    for ask in (context.question, context.show, context.remember):
        with pytest.raises(memcalc.MemcalcError, match="mamba-130m-hf has no attention"):
            ask(case)


@pytest.mark.parametrize("model", MODELS)
def test_9_what_lives_for_a_moment(model: str) -> None:
    """The two steps' peaks; the logits at the end of the forward pass; AdamW's foreach works on all weights at once."""
    found = train(model)
    above = device(found) - found.peak["tensors"]
    most = [max(one["tensors"] for one in found.phases if one["step"] == step) + above for step in (1, 2)]
    said = remembered(9, model)
    if most[1] > most[0]:
        assert f"the first step reaches {units.binary(most[0])}, the second {units.binary(most[1])}" in said
    else:
        assert f"both steps reach {units.binary(most[1])}" in said
    vocabulary = {"gpt2": 50_257, "Llama-3.1-8B": 128_256}[model]
    forward = memcalc.timeline({"model": model, "task": "train", "precision": "bf16-mixed", "seq_len": 1024})
    last = max((one for one in forward.points if one.phase == "forward"), key=lambda one: one.components["temporary"])
    assert last.components["temporary"] >= 1024 * vocabulary * 4  # logits in 32 bits
    stepping = max(one["at_peak"]["temporary"] for one in found.phases if one["name"] == "optimizer")
    assert stepping >= 0.99 * found.component_peak["weights"]
    one_by_one = train(model, training={"optimizer_impl": "for-loop"})
    alone = max(one["at_peak"]["temporary"] for one in one_by_one.phases if one["name"] == "optimizer")
    assert alone < 0.7 * stepping
    assert moment.LESSON.usual(model)["moment"] == 25


@pytest.mark.parametrize("model", MODELS)
def test_10_activations_are_not_divided(model: str) -> None:
    run = {"precision": "bf16-master"}
    one = train(model, **run)
    shared = {n: train(model, **run, parallel={"data": n, "strategy": "zero3"}) for n in (8, 64)}
    replicas = train(model, **run, parallel={"data": 8, "strategy": "ddp"})
    assert device(replicas) >= device(one)  # replicas save nothing
    assert shared[8].component_peak["activations"] >= 0.99 * one.component_peak["activations"]
    assert f"On 64 cards {model} still needs {units.binary(device(shared[64]))} on each" in remembered(10, model)
    found = cards.show(cards.LESSON.usual(model)).rules[-1]
    assert f"a card needs {percent(device(shared[8]) / device(one))} of what one card alone needs" in found.sentence
