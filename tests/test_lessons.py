"""The lessons' claims: each sentence about a rule of thumb, recomputed here from estimates or by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import memcalc
from memcalc import units
from memcalc.learn.case import Case, Own
from memcalc.learn.lesson import Bars, Curves, Lesson
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
from memcalc.models import catalogue, portable
from memcalc.solve.line import through
from memcalc.ui import batch_view, controls, options
from memcalc.ui.state import Settings

LLAMA = 8_030_261_248  # parameters of Llama-3.1-8B, as published
MODELS = ("gpt2", "Llama-3.1-8B", "Mixtral-8x7B", "DeepSeek-V2-Lite", "bloom-560m", 7 * 10**9)
EVERY = [pytest.param(lesson, id=str(at)) for at, lesson in enumerate(LESSONS, 1)]


def device(scenario: dict) -> int:
    return memcalc.estimate(scenario).peak["device"]


def train(model: str, **more: object) -> dict:
    return {"model": model, "task": "train", "precision": "bf16-mixed", "seq_len": 1024, **more}


def values_of(lesson: Lesson, case: Case) -> list[Case]:
    """The case with each variable at each of its values, one at a time."""
    return [case.at(**{one.key: value}) for one in lesson.variables for value in one.values]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("lesson", EVERY)
def test_every_lesson_answers_for_any_model_at_every_value(lesson: Lesson, model: str | int) -> None:
    case = lesson.usual(model)
    asked = lesson.question(case)
    assert 0 <= asked.right < len(asked.choices) == len(set(asked.choices))
    assert asked.why
    assert lesson.fixed(case)
    assert 3 <= len(lesson.remember(case)) <= 5
    answered = 0
    for one in [case, *values_of(lesson, case)]:
        try:
            shown = lesson.show(one)
        except memcalc.MemcalcError:  # a pair that does not go together is refused by name
            continue
        answered += 1
        assert len(shown.alternative) > 40
        assert re.search(r"\d", shown.headline)
        assert len(shown.formula) >= 2
        assert any(term.total for term in shown.formula)
        assert isinstance(shown.figure, Bars | Curves)
    assert answered > 1


@pytest.mark.parametrize("lesson", EVERY)
def test_every_lesson_says_links_that_the_pages_understand(lesson: Lesson) -> None:
    """The dashboard's own controls have every value that a lesson hands to them."""
    allowed = controls.allowed()
    for model in ("gpt2", 7 * 10**9):
        for case in values_of(lesson, lesson.usual(model)):
            for link in lesson.links(case):
                for name, value in link.settings.items():
                    if allowed.get(name) is not None:
                        assert value in allowed[name], (link.label, name, value)
                if "exact" in link.settings:
                    assert options.parse_size(link.settings["exact"]) == model


def test_sixteen_bytes_per_parameter() -> None:
    """4 + 4 + 8 bytes in mixed precision with AdamW: 8,030,261,248 × 16 B = 119.66 GiB, whatever the text."""
    case = where.LESSON.usual("Llama-3.1-8B")
    question = where.question(case)
    assert question.choices[question.right] == "16 bytes"
    assert units.binary(LLAMA * 16) == "120 GiB" in question.why
    for tokens in (128, 8192):
        shown = where.show(case.at(tokens=tokens))
        assert shown.rules[0].holds is True
        assert "16 bytes a parameter" in shown.rules[0].sentence
        assert units.binary(device(train("Llama-3.1-8B", seq_len=tokens))) in shown.headline


def test_sixteen_bytes_is_true_for_adamw_with_32_bits_somewhere_only() -> None:
    """By hand: 32 + 32 + 2·32 bits; 16 + 16 + 32 + 2·32; all in 16 bits 2 + 2 + 4 = 8; one average less is 12."""
    (table,) = where.maps(where.LESSON.usual("Llama-3.1-8B"))
    cells = {(row[0], name): cell for row in table.rows for name, cell in zip(table.columns[1:], row[1:], strict=True)}
    assert cells["fp32", "adamw"] == cells["bf16-mixed", "adamw"] == cells["bf16-master", "adamw"] == "16"
    assert cells["bf16", "adamw"] == "8"
    assert cells["bf16-mixed", "lion"] == cells["bf16-mixed", "sgd-momentum"] == "12"
    assert cells["bf16-mixed", "sgd"] == "8"
    assert cells["bf16", "sgd"] == "4"
    assert {(table.rows[i][0], table.columns[j]) for i, j in table.marked} == {
        ("fp32", "adamw"), ("bf16-mixed", "adamw"), ("bf16-master", "adamw"),
    }  # fmt: skip


def test_the_formulas_lines_sum_to_the_highest_instant() -> None:
    for model in ("gpt2", "Llama-3.1-8B"):
        shown = where.show(where.LESSON.usual(model))
        assert isinstance(shown.figure, Bars)
        highest = max(shown.figure.stacks, key=lambda one: one.total)
        assert highest.chosen
        assert highest.total == device(train(model))
        assert shown.formula[-1].value == units.binary(highest.total)


@pytest.mark.parametrize(
    ("settings", "holds"),
    [
        ({}, (False, False)),  # AdamW, mixed: weights 4 + 4 + 8 B against 2 B and less overhead
        ({"format": "bf16", "updates": "sgd-momentum"}, (True, False)),  # 2 + 2 + 2 B and more against 2 B
        ({"format": "bf16", "trained": "lora", "tokens": 4096}, (None, None)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B"])
def test_the_saving_is_that_of_two_estimates(model: str, settings: dict, holds: tuple) -> None:
    case = saving.LESSON.usual(model).at(**settings)
    tokens = min(1024, case["tokens"]) if model == "gpt2" else case["tokens"]
    training = device(train(model, precision=case["format"], seq_len=tokens, training={
        "optimizer": case["updates"], "method": case["trained"]}))  # fmt: skip
    prompt = tokens - 127 if model == "gpt2" and tokens == 1024 else tokens
    inference = device({"model": model, "task": "infer", "inference": {"prompt_tokens": prompt, "new_tokens": 128}})
    share = 1 - inference / training
    shown = saving.show(case)
    assert f"{100 * share:.0f} % less" in shown.headline
    for rule, (low, high) in zip(shown.rules, ((0.5, 0.7), (0.3, 0.5)), strict=True):
        assert rule.holds == (low <= share <= high)
        assert f"{100 * share:.0f} %" in rule.sentence
    if model == "Llama-3.1-8B" and holds[0] is not None:
        assert tuple(rule.holds for rule in shown.rules) == holds


def test_the_map_marks_exactly_where_a_rule_is_true() -> None:
    for table in saving.maps(saving.LESSON.usual("gpt2")):
        for i, row in enumerate(table.rows):
            for j, cell in enumerate(row[1:], 1):
                share = int(cell.split()[0]) if cell != "–" else 0
                mark = table.marked.get((i, j))
                if share not in (30, 50, 70):  # rounded: either side
                    assert mark == ("30–50" if 30 < share < 50 else "50–70" if 50 < share < 70 else None)


def test_the_map_over_batch_and_length_is_the_estimates() -> None:
    case = saving.LESSON.usual("Llama-3.1-8B")
    table = saving.maps(case)[1]
    at = table.columns.index("4,096")
    row = next(row for row in table.rows if row[0] == "8")
    assert row[at] == f"{100 * saving.saving(case.at(sequences=8, tokens=4096)):.0f} %"


def test_half_the_batch_is_not_half_the_memory() -> None:
    """Two estimates by hand: batch 20 and batch 10; and what inference at batch 4 and 2 needs."""
    for model in ("gpt2", "Llama-3.1-8B"):
        shown = batch.show(batch.LESSON.usual(model))
        whole, half = (device(train(model, batch=one)) for one in (20, 10))
        assert f"Half the batch needs {100 * half / whole:.0f} %" in shown.headline
        rules = {rule.text: rule for rule in shown.rules}
        assert rules[batch.HALF].holds == (abs(half / whole - 0.5) <= 0.025)
        prompt = 1024 - 127 if model == "gpt2" else 1024  # GPT-2 has 1,024 positions
        used = [
            device({"model": model, "task": "infer", "batch": one,
                    "inference": {"prompt_tokens": prompt, "new_tokens": 128}}) / whole for one in (4, 2)
        ]  # fmt: skip
        assert rules[batch.FIFTH].holds == all(0.05 <= one <= 0.10 for one in used)
        for one in used:
            assert f"{100 * one:.1f} %" in rules[batch.FIFTH].sentence


def test_a_batch_that_has_no_fifth_is_not_held_against_the_rule() -> None:
    """One text and two have neither part, five have a fifth; where the line is not reached yet, it says from where."""
    case = batch.LESSON.usual("Llama-3.1-8B")
    for texts, parts in ((1, 0), (2, 0), (5, 1), (10, 2)):
        at = case.at(texts=texts)
        said = [one.sentence for one in batch.show(at).rules if one.text == batch.FIFTH]
        assert len(said) == (parts > 0)
        assert sum(one.count(" at batch ") for one in said) == (parts + 1 if parts else 0)
        assert len(batch.maps(at)) == (3 if parts else 1)
        assert all(len(one.columns) == 1 + parts for one in batch.maps(at)[1:])
    sizes, _ = batch.both(case)
    start = through(sizes).straight_from
    assert batch.show(case.at(texts=1)).headline.endswith(f"from batch {start} on.")
    assert "from batch" not in batch.show(case.at(texts=20)).headline


def test_the_line_over_the_batch_is_a_fixed_part_and_a_slope() -> None:
    """By hand: 100 bytes and 7 for each sequence; a floor of 130 below does not bend the line, which at 4 is 128, 1.5 %
    off, and at 5 135."""
    found = through([max(130, 100 + 7 * one) for one in range(1, 61)])
    assert (found.fixed, found.slope, found.straight_from) == (100, 7, 5)


def test_the_lesson_and_the_dashboard_draw_the_same_line() -> None:
    """Lesson 3 looks at 60 texts and the page at 64: the same slope and fixed part, to three digits."""
    case = batch.LESSON.usual("Llama-3.1-8B")
    (train, _) = batch.both(case)
    settings = Settings(seq_len=1024, precision="bf16-mixed", gpu=None)
    shown, _ = batch_view.lines(settings, range(1, 65))
    assert units.binary(through(train).slope) == units.binary(shown[0].line.slope)
    assert units.binary(through(train).fixed) == units.binary(shown[0].line.fixed)
    assert through(train).straight_from == shown[0].line.straight_from


def test_accumulating_keeps_one_pieces_activations() -> None:
    """Activations of 16 texts in 16 pieces are those of one text; states stay; the time model by hand."""
    case = accumulate.LESSON.usual("Llama-3.1-8B")
    single = memcalc.estimate(train("Llama-3.1-8B")).component_peak["activations"]
    assert accumulate.activations(case, 16) == single
    whole = memcalc.estimate(train("Llama-3.1-8B", batch=16))
    assert accumulate.activations(case, 1) == whole.component_peak["activations"]
    assert units.binary(whole.peak["device"]) in accumulate.show(case).headline
    # 8.03e9 parameters, 16,384 tokens: 6 operations a parameter and token at 156e12 a second, 22 B a parameter and
    # piece and 28 B a step at 2e12 B a second.
    computing = 6 * LLAMA * 16384 / 156e12
    plain, pieces = (computing + (22 * one + 28) * LLAMA / 2e12 for one in (1, 16))
    assert accumulate.slower(case, 16) == pytest.approx(pieces / plain)
    assert accumulate.slower(case, 1, "full") == pytest.approx((plain + computing / 3) / plain)
    rules = {rule.text: rule.holds for rule in accumulate.show(case).rules}
    assert rules == {accumulate.ACCUMULATE: False, accumulate.CHECKPOINT: True}
    said = " ".join(accumulate.show(case).notes)  # what the page says of its time: assumed, and by whose rules
    assert all(words in said for words in ("assumed", "nothing of it is measured", "2001.08361", "1604.06174"))


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B", "Mixtral-8x7B"])
def test_what_16_gb_of_inference_are_worth(model: str) -> None:
    prompt = 1024 - 127 if model == "gpt2" else 1024
    used = device({"model": model, "task": "infer", "inference": {"prompt_tokens": prompt, "new_tokens": 128}})
    ratio = device(train(model)) / used
    shown = worth.show(worth.LESSON.usual(model))
    assert f"16 GB of inference with models like {model} is worth {16 * ratio:,.0f} GB" in shown.headline
    assert f"16 GB of training is worth {16 / ratio:.1f} GB of inference" in shown.headline
    assert shown.rules[0].holds == (80 <= 16 * ratio <= 160)
    table = worth.maps(worth.LESSON.usual(model))[1]
    for (i, j), said in table.marked.items():
        assert said == "true"
        assert 80 <= int(table.rows[i][j].replace(",", "")) <= 160


def test_mixed_precision_does_not_halve_memory() -> None:
    """The same 16 lasting bytes a parameter in fp32 and mixed: 8,030,261,248 × 16 B; all in 16 bits 8."""
    case = precision.LESSON.usual("Llama-3.1-8B")
    full, mixed, half = (
        device(train("Llama-3.1-8B", precision=one)) for one in ("fp32", "bf16-mixed", "bf16")
    )  # fmt: skip
    question = precision.question(case)
    assert f"{100 * mixed / full:.0f} %" in question.why
    assert question.choices[question.right] in ("nearly as much", "as much or more")
    rules = {rule.text: rule for rule in precision.show(case).rules}
    assert rules["Mixed precision halves the memory of training"].holds is False
    assert rules["16 bits throughout halve the memory of training"].holds is (abs(half / full - 0.5) <= 0.05)
    assert f"{100 * half / full:.0f} %" in rules["16 bits throughout halve the memory of training"].sentence
    weights = memcalc.estimate(
        {"model": "Llama-3.1-8B", "task": "infer",
         "inference": {"weights": "nf4", "prompt_tokens": 1024, "new_tokens": 128}}
    )  # fmt: skip
    shown = precision.show(case.at(bits="nf4"))
    assert shown.formula[-1].value == units.binary(weights.peak["device"])


def test_lora_shrinks_what_goes_with_the_trained_parameters_only() -> None:
    """Llama-3.1-8B, rank 16 on q_proj and v_proj: 32 × 16 × (4096 + 4096 + 4096 + 1024) = 6,815,744 trained."""
    case = tuning.LESSON.usual("Llama-3.1-8B")
    shown = tuning.show(case)
    assert units.count(6_815_744) in shown.headline
    full, lora = (tuning.ask(tuning.scenario(case, one)) for one in ("full", "lora"))
    assert lora.component_peak["optimizer"] == pytest.approx(8 * 6_815_744, rel=0.01)
    assert full.component_peak["optimizer"] == pytest.approx(8 * LLAMA, rel=0.001)
    assert lora.component_peak["weights"] == pytest.approx(2 * LLAMA, rel=0.01)
    assert shown.rules[0].holds is False
    assert f"{100 * lora.peak['device'] / full.peak['device']:.0f} %" in shown.headline


def test_what_four_bit_weights_do_to_activations_is_computed_and_traced() -> None:
    """Lesson 7's sentence, from three estimates; and against traces of PEFT's and bitsandbytes' own code: in bf16 their
    activations are larger than LoRA's, and larger than their own under autocast."""
    case = tuning.LESSON.usual("Llama-3.1-8B")
    (said,) = (one for one in tuning.show(case.at(way="qlora")).notes if "autocast" in one)
    lora, plain, mixed = (
        memcalc.estimate(train("Llama-3.1-8B", precision=precision, training={"method": method})).component_peak[
            "activations"
        ]
        for method, precision in (("lora", "bf16"), ("qlora", "bf16"), ("qlora", "bf16-mixed"))
    )
    assert f"take {units.binary(plain)}, {plain / lora:.1f} times LoRA’s {units.binary(lora)}" in said
    assert f"(bf16-mixed) they take {units.binary(mixed)};" in said
    assert not any("autocast" in one for one in tuning.show(case).notes)
    traced = {
        one["name"]: one
        for one in json.loads((Path(__file__).parent / "data" / "traces_settings.json").read_text())
        if one["scenario"].get("training", {}).get("method") == "qlora" and "base_weights=" in one["name"]
    }
    compared = 0
    for name, one in traced.items():
        if " bf16 " in name:
            settings = {key: value for key, value in one["scenario"]["training"].items() if key != "base_weights"}
            beside = memcalc.estimate({**one["scenario"], "training": {**settings, "method": "lora"}})
            seen = one["expect"]["at_peak"]["activations"]
            assert seen > beside.at_peak["activations"]
            assert seen > traced[name.replace(" bf16 ", " bf16-mixed ")]["expect"]["at_peak"]["activations"]
            compared += 1
    assert compared >= 8


def test_eager_attention_grows_with_the_square_of_the_text_and_flash_with_the_text() -> None:
    """Activations of Llama-3.1-8B in bf16 at 4,096 and 8,192 tokens, from four estimates."""
    case = context.LESSON.usual("Llama-3.1-8B")
    kept = {
        (name, tokens): memcalc.estimate(
            train("Llama-3.1-8B", precision="bf16", seq_len=tokens, attention=name)
        ).component_peak["activations"]
        for name in ("eager", "sdpa")
        for tokens in (4096, 8192)
    }
    rules = {rule.text: rule for rule in context.show(case).rules}
    eager, flash = (kept[name, 8192] / kept[name, 4096] for name in ("eager", "sdpa"))
    assert eager > 3
    assert flash == pytest.approx(2, rel=0.02)
    assert rules[context.FOUR].holds == (abs(eager - 4) < 0.4)
    assert rules[context.TWO].holds is True
    assert f"{eager:.1f} times" in rules[context.FOUR].sentence


def test_what_models_cache_for_each_token() -> None:
    """By hand, 16 bits: Llama-2-7B 32 × 32 × 2 × 128 × 2 B = 512 KiB; Llama-3.1-8B 8 of 32 heads: 128 KiB; falcon-7b
    one head of 64: 32 × 2 × 64 × 2 B = 8 KiB; DeepSeek-V3 61 × (512 + 64) × 2 B = 68.6 KiB against 61 × 128 heads ×
    (192 + 128) × 2 B."""
    sizes = {
        model: (context.cached(spec), context.unshared(spec))
        for model in ("Llama-2-7B", "Llama-3.1-8B", "falcon-7b", "DeepSeek-V3")
        if (spec := context.LESSON.usual(model).spec)
    }
    assert sizes == {
        "Llama-2-7B": (512 * 1024, 512 * 1024),
        "Llama-3.1-8B": (128 * 1024, 512 * 1024),
        "falcon-7b": (8 * 1024, 32 * 71 * 2 * 64 * 2),
        "DeepSeek-V3": (61 * 576 * 2, 61 * 128 * 320 * 2),
    }


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B"])
def test_the_peak_is_a_moment_and_less_than_the_sum(model: str) -> None:
    case = moment.LESSON.usual(model)
    found = memcalc.estimate(train(model))
    run = memcalc.timeline(train(model))
    question = moment.question(case)
    wanted = {"backward": "in the backward pass", "optimizer": "in the optimizer step"}
    assert question.choices[question.right] == wanted[found.peak["phase"]]
    shown = moment.show(case)
    figure = shown.figure
    assert isinstance(figure, Curves)
    heights = [sum(one.ys[at] or 0 for one in figure.curves) for at in range(len(run.points))]
    assert max(heights) == found.peak["device"]
    assert heights.index(max(heights)) == run.peak
    (rule,) = shown.rules
    above = found.peak["device"] - found.peak["tensors"]
    total = sum(found.component_peak.values()) + above
    assert rule.holds is False
    assert f"{100 * (total / found.peak['device'] - 1):.0f} % more" in rule.sentence


def test_a_card_runs_out_where_the_timeline_first_passes_its_capacity() -> None:
    (table,) = moment.maps(moment.LESSON.usual("Llama-3.1-8B"))
    said = {row[0]: row[2] for row in table.rows}
    assert said["16 GB"] == "loading"  # 29.9 GiB of weights in 32 bits
    assert said["80 GB"] == "step 1, optimizer step"  # states of 59.8 GiB appear beside weights and gradients
    (small,) = moment.maps(moment.LESSON.usual("gpt2"))
    assert {row[2] for row in small.rows} == {"runs through"}


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B"])
@pytest.mark.parametrize("count", [2, 8, 64])
def test_the_three_stages_divide_what_the_paper_says(model: str, count: int) -> None:
    """ZeRO's figure 1 with K = 12: 4 + 12/N, 2 + 14/N, 16/N bytes for each parameter."""
    shown = cards.show(cards.LESSON.usual(model).at(gpus=count))
    wanted = {"zero1": 4 + 12 / count, "zero2": 2 + 14 / count, "zero3": 16 / count}
    for way, size in wanted.items():
        assert cards.by_formula(way, count) == pytest.approx(size)
        found = memcalc.estimate(
            train(model, precision="bf16-master", parallel={"data": count, "strategy": way})
        )  # fmt: skip
        assert found.persistent / found.parameters["trainable"] == pytest.approx(size, rel=0.02)
    stages = [rule for rule in shown.rules if rule.text.startswith("Stage")]
    assert len(stages) == 3
    assert all(rule.holds for rule in stages)
    assert shown.rules[-1].holds is False  # activations and what is gathered are not divided
    question = cards.question(cards.LESSON.usual(model))
    assert question.choices[question.right] == "5.50 bytes"


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B", "Mixtral-8x7B"])
def test_what_a_newcomer_asks_in_lessons_1_to_3_is_answered_truly(model: str) -> None:
    """Where the activations are if the figure has none; why the fixed part is not lesson 1's; where no line is yet."""
    found = memcalc.estimate(train(model))
    shown = saving.show(saving.LESSON.usual(model))
    note = next((one for one in shown.notes if one.startswith("Where are the activations?")), "")
    gone = found.at_peak["activations"] < found.component_peak["activations"] / 2
    assert bool(note) == gone
    if gone:
        assert {"optimizer": "optimizer step"}[found.peak["phase"]] in note
        assert units.binary(found.component_peak["activations"]) in note
    many = memcalc.estimate(train(model, batch=20))
    notes = batch.show(batch.LESSON.usual(model)).notes
    (fixed,) = (one for one in notes if "not the" in one)
    assert many.peak["phase"] == "backward"
    assert many.at_peak["gradients"] < many.component_peak["gradients"] / 10
    assert units.binary(many.persistent) in fixed
    sizes, _ = batch.both(batch.LESSON.usual(model))
    flat = [one for one in notes if "does not hold" in one]
    assert bool(flat) == (memcalc.estimate(train(model)).peak["phase"] == "optimizer")
    if flat:
        assert sizes[1] < 1.03 * sizes[0]  # twice the texts: what the optimizer step needs hardly grows
        last = int(re.findall(r"batch (\d+)", flat[0])[0])
        line = through(sizes)
        assert not line.holds(last, sizes[last - 1])
        assert line.holds(last + 1, sizes[last])


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B", "Mixtral-8x7B"])
@pytest.mark.parametrize("tokens", [128, 1024])
def test_lesson_1_says_truly_what_is_there_when(model: str, tokens: int) -> None:
    """No gradient in the forward pass, weights and optimizer states in every phase; the backward pass's highest
    instant is at its end where its bar has no activations; the rule's rest leaves gradients out where none are."""
    found = memcalc.estimate(train(model, seq_len=tokens))
    phases = {one["name"]: one["at_peak"] for one in found.phases if one["step"] == 2}
    assert phases["forward"]["gradients"] == 0
    assert all(one["weights"] > 0 and one["optimizer"] > 0 for one in phases.values())
    shown = where.show(where.LESSON.usual(model).at(tokens=tokens))
    ended = phases["backward"]["activations"] < found.component_peak["activations"] / 2
    assert any("at its end" in one for one in shown.notes) == ended
    if ended:
        assert phases["backward"]["gradients"] == found.component_peak["gradients"]
    absent = found.at_peak["gradients"] < found.component_peak["gradients"] / 10
    assert shown.rules[0].sentence.endswith("no gradients yet.") == absent


@pytest.mark.parametrize(
    ("model", "table"), [("Llama-3.1-8B", 128_256 * 4_096), ("gpt2", None), ("Mixtral-8x7B", None)]
)
def test_lesson_1_says_why_the_copies_are_fewer_than_the_weights(model: str, table: int | None) -> None:
    """Llama-3.1-8B's embedding has 128,256 rows of 4,096 values that are looked up and never multiplied; gpt2's is its
    head's matrix, which is, and Mixtral's copies lack its experts, which is another reason."""
    (note,) = (one for one in where.show(where.LESSON.usual(model)).notes if one.startswith("Activations:"))
    assert ("embedding" in note) == bool(table)
    if table:
        assert units.binary(2 * table) in note


def in_mib(said: str) -> float:
    """The sum of the sizes that a sentence names."""
    scale = {"GiB": 1024.0, "MiB": 1.0}
    return sum(float(size) * scale[unit] for size, unit in re.findall(r"([\d.]+) ([GM]iB)", said))


def test_what_a_text_adds_by_hand() -> None:
    """Keys and values of 1,024 tokens: 2 × 32 layers × 8 heads × 128 values × 2 B = 128 KiB each, 128 MiB in all; the
    parts of a text sum to the line's slope, in training and in inference."""
    case = batch.LESSON.usual("Llama-3.1-8B")
    note = batch.show(case).notes[0]
    assert "KV cache 128 MiB" in note
    for said, sizes in zip(note.split("; "), batch.both(case), strict=True):
        assert in_mib(said) == pytest.approx(through(sizes).slope / 2**20, rel=0.005)


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B"])
def test_what_the_fixed_part_is_sums_to_it(model: str) -> None:
    case = batch.LESSON.usual(model)
    note = batch.show(case).notes[1]
    assert "optimizer states" in note
    for said, sizes in zip(note.split("; "), batch.both(case), strict=True):
        assert in_mib(said) == pytest.approx(through(sizes).fixed / 2**20, rel=0.005)


@pytest.mark.parametrize("model", ["gpt2", "Llama-3.1-8B"])
def test_lesson_2_accounts_for_the_whole_saving(model: str) -> None:
    """What is not needed, and what less is needed of: the difference of the two runs and of the cache that is new."""
    case = saving.LESSON.usual(model)
    shown = saving.show(case)
    named = shown.headline.split("Not needed at all: ")[1] + shown.notes[0]
    trained, used = (memcalc.estimate(one(case)) for one in (saving.training, saving.inference))
    gone = trained.peak["device"] - used.peak["device"] + used.at_peak["kv_cache"]
    assert in_mib(named) == pytest.approx(gone / 2**20, rel=0.005)


def test_a_billion_is_not_written_like_a_byte() -> None:
    shown = where.show(where.LESSON.usual("Llama-3.1-8B"))
    assert "8.03 billion parameters × 4 B" in [one.how for one in shown.formula]
    lines = precision.show(precision.LESSON.usual("Llama-3.1-8B")).formula
    assert "(4 + 4 + 8) B × 8.03 billion" in [one.how for one in lines]
    assert Case(7 * 10**9, {}).name == "a model of 7.00 billion parameters"


def test_what_each_card_keeps_by_hand() -> None:
    """Adam with 16-bit weights keeps 2 + 2 + (4 + 4 + 4) bytes for each parameter; replicas 2 more: DDP's."""
    assert (cards.WEIGHT, cards.GRADIENT, cards.STATES, cards.BUCKETS) == (2, 2, 4 + 4 + 4, 2)
    assert (cards.by_formula("ddp", 1), cards.by_formula("ddp", 8)) == (16, 18)


@pytest.mark.parametrize("lesson", EVERY)
def test_a_model_of_the_readers_own_is_answered_like_the_catalogues(lesson: Lesson) -> None:
    """The same configuration by its name and brought: the same sentences, but for what the model is called."""
    known, label = "Llama-3.2-1B", "Brought-1B"
    own = Own(label, portable.carried({"config": catalogue.find(known).config, "name": label}))
    pair = lesson.usual(known), lesson.usual(own)
    assert [one.name for one in pair] == [known, label]
    for one, other in zip(values_of(lesson, pair[0]), values_of(lesson, pair[1]), strict=True):
        assert str(lesson.show(other)) == str(lesson.show(one)).replace(known, label)
        assert str(lesson.links(other)) == str(lesson.links(one)).replace(known, label)
    for what in (lesson.question, lesson.remember, lesson.fixed):
        assert str(what(pair[1])) == str(what(pair[0])).replace(known, label)
    tables = lesson.maps(pair[1]) if lesson.maps else ()
    for table in tables:
        if "gpt2" in str(table):  # a table of models
            assert label in str(table)
