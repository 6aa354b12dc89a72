"""The estimate as users get it: sums, defaults, refusals, verdicts, sweeps, the command line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import memcalc
from memcalc.architectures.layers import Maker
from memcalc.architectures.llama import Llama
from memcalc.architectures.programs import PROGRAMS
from memcalc.estimate import laid_out
from memcalc.models import catalogue
from memcalc.question import Question
from memcalc.stages import highest

SMALL = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 640, "hidden_size": 64,
    "intermediate_size": 160, "num_hidden_layers": 9, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512, "hidden_act": "silu", "tie_word_embeddings": False,
}  # fmt: skip
SETTINGS: list[dict[str, Any]] = [
    {"task": "train", "precision": "bf16"},
    {"task": "train", "precision": "fp16-mixed", "training": {"checkpointing": "full"}},
    {"task": "train", "precision": "bf16-master", "training": {"grad_accumulation": 4}},
    {"task": "train", "precision": "fp32", "attention": "eager", "training": {"optimizer": "adafactor-hf"}},
    {"task": "train", "precision": "bf16", "training": {"method": "lora", "lora": {"targets": "all-linear"}}},
    {"task": "train", "precision": "bf16", "attention_mask": "padded", "training": {"zero_grad": "keep"}},
    {"task": "train", "precision": "bf16-mixed", "training": {"method": "qlora", "checkpointing": "full"}},
    {"task": "train", "precision": "bf16", "training": {"loss": "fused", "liger": True, "optimizer": "adamw-8bit"}},
    {"task": "train", "precision": "bf16-mixed", "training": {"liger": True, "checkpointing": "full", "ema": True}},
    {"task": "train", "precision": "bf16", "training": {"checkpointing": "selective-attention", "optimizer": "muon"}},
    {"task": "train", "precision": "fp32", "training": {"method": "head", "checkpointing": "full"}},
    {"task": "infer", "inference": {"prompt_tokens": 100, "new_tokens": 20}},
    {"task": "infer", "precision": "fp32", "inference": {"runtime": "forward", "prompt_tokens": 100}},
]


def small(**settings: Any) -> dict[str, Any]:
    return {"model": {"config": SMALL}, **settings}


@pytest.mark.parametrize("settings", SETTINGS)
def test_repeated_blocks_answer_as_if_each_were_run(settings: dict[str, Any]) -> None:
    """One middle block standing for many must not change a byte of the peak."""
    qwen = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": True}
    for config in (
        SMALL,
        SMALL | {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 32},
        SMALL | qwen | {"sliding_window": 32, "max_window_layers": 4},
    ):
        scenario = {"model": {"config": config}, "batch": 2, **settings}
        if settings["task"] == "train":
            scenario["seq_len"] = 48
        question = Question.read(scenario)
        program = question.program()
        made = program.maker
        plain = Llama(question.model.spec, Maker(made.format, made.lora, made.base, made.head_only), unroll=True)
        assert len(plain.plan) == 9 > len(program.plan)
        assert highest(laid_out(question, program)) == highest(laid_out(question, plain))


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_sweep_gives_each_point_its_own_estimate(settings: dict[str, Any]) -> None:
    axis = "seq_len" if settings["task"] == "train" else "prompt_tokens"
    batches, lengths = [1, 2, 5], [1, 7, 40, 100]
    found = memcalc.sweep(small(**settings), batch=batches, **{axis: lengths})
    assert found.tensors.shape == (3, 4)
    for i, batch in enumerate(batches):
        for j, length in enumerate(lengths):
            point = small(**settings) | {"batch": batch}
            if axis == "seq_len":
                point["seq_len"] = length
            else:
                point["inference"] = {**settings["inference"], "prompt_tokens": length}
            one = memcalc.estimate(point)
            assert found.tensors[i, j] == one.peak["tensors"]
            assert found.reserved[i, j] == one.peak["reserved"]


def test_a_sweep_follows_the_order_of_its_axes() -> None:
    one = memcalc.sweep(small(task="train"), seq_len=[8, 16], batch=[1, 2, 3])
    other = memcalc.sweep(small(task="train"), batch=[1, 2, 3], seq_len=[8, 16])
    assert np.array_equal(one.tensors, other.tensors.T)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_sums_agree(settings: dict[str, Any]) -> None:
    answer = memcalc.estimate(small(**settings)).as_dict()
    peak = answer["peak"]
    assert sum(answer["at_peak"].values()) == peak["tensors"] == max(one["tensors"] for one in answer["phases"])
    assert peak["tensors"] <= peak["allocated"] <= peak["reserved"] <= peak["device"]
    for name, (low, high) in answer["range"].items():
        assert low <= peak[name] <= high
    for one in answer["phases"]:
        assert sum(one["at_peak"].values()) == one["tensors"]
    for name, size in answer["component_peak"].items():
        assert size >= max(one["at_peak"][name] for one in answer["phases"])
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_byte_of_the_peak_has_a_name(settings: dict[str, Any]) -> None:
    answer, named = memcalc.estimate(small(**settings)), memcalc.timeline(small(**settings))
    assert sum(one.total for one in named.tensors) == answer.peak["tensors"]
    assert named.points[named.peak].total == answer.peak["tensors"]
    for component, size in answer.at_peak.items():
        assert sum(one.total for one in named.tensors if one.component == component) == size
    assert all(one.formula and one.source for one in named.tensors)


def test_adamw_in_fp32_keeps_sixteen_bytes_a_parameter() -> None:
    """GPT-2: 124,439,808 parameters · (4 weight + 4 gradient + 8 state) B; all its tensors are multiples of 512 B."""
    found = memcalc.estimate({"model": "gpt2", "task": "train", "precision": "fp32"})
    assert found.persistent == 124_439_808 * 16


def test_master_weights_keep_sixteen_or_eighteen_bytes_a_parameter() -> None:
    """2 + 2 + 4 + 8, and Megatron's 2 + 4 + 4 + 8 with fp32 gradients."""
    base = {"model": "gpt2", "task": "train", "precision": "bf16-master"}
    assert memcalc.estimate(base).persistent == 124_439_808 * 16
    wide = memcalc.estimate({**base, "training": {"gradient_dtype": "fp32"}})
    assert wide.persistent == 124_439_808 * 18


def test_the_cache_of_a_generation_is_two_values_a_token_layer_and_head() -> None:
    """Llama-3.1-8B: 2 · 32 layers · 8 heads · 128 · 2 B = 128 KiB a token; at the end prompt + new - 1 tokens."""
    scenario = {"model": "Llama-3.1-8B", "batch": 3, "inference": {"prompt_tokens": 1000, "new_tokens": 25}}
    found = memcalc.estimate(scenario)
    last = next(one for one in found.phases if one["name"] == "decode")
    assert last["at_peak"]["kv_cache"] == pytest.approx(3 * 1024 * 131_072, rel=0.02)


def test_inference_needs_neither_gradients_nor_states() -> None:
    found = memcalc.estimate({"model": "Llama-3.1-8B"})
    assert (
        found.component_peak["gradients"]
        == found.component_peak["optimizer"]
        == found.component_peak["activations"]
        == 0
    )
    assert found.persistent == found.at_peak["weights"]


@pytest.mark.parametrize(
    ("scenario", "field"),
    [
        ({}, "model"),
        ({"model": "gpt2", "colour": "red"}, "colour"),
        ({"model": "no such model"}, "model"),
        ({"model": {"config": {}}}, "model.config.model_type"),
        ({"model": {"config": {"model_type": "deberta-v2"}}}, "model.config.model_type"),
        ({"model": {"config": SMALL | {"hidden_size": -1}}}, "model.config.hidden_size"),
        ({"model": {"config": SMALL | {"hidden_size": 1e308}}}, "model.config.hidden_size"),
        ({"model": {"config": SMALL | {"num_hidden_layers": True}}}, "model.config.num_hidden_layers"),
        ({"model": {"config": SMALL | {"num_key_value_heads": 3}}}, "model.config.num_key_value_heads"),
        ({"model": {"config": SMALL | {"architectures": ["LlamaForSequence"]}}}, "model.config.architectures"),
        ({"model": {"config": SMALL | {"hidden_act": "<b>"}}}, "model.config.hidden_act"),
        ({"model": {"config": []}}, "model.config"),
        ({"model": {"parameters": math.nan}}, "model.parameters"),
        ({"model": {"parameters": -7e9}}, "model.parameters"),
        ({"model": {"parameters": 1e300}}, "model.parameters"),
        ({"model": {"hub": "a/b"}}, "model.hub"),
        ({"model": 7}, "model"),
        ({"model": "gpt2", "task": "sing"}, "task"),
        ({"model": "gpt2", "precision": "bf16-mixed"}, "precision"),
        ({"model": "gpt2", "batch": 0}, "batch"),
        ({"model": "gpt2", "batch": 1.5}, "batch"),
        ({"model": "gpt2", "batch": math.inf}, "batch"),
        ({"model": "gpt2", "batch": math.nan}, "batch"),
        ({"model": "gpt2", "batch": "8"}, "batch"),
        ({"model": "gpt2", "batch": 2**40}, "batch"),
        ({"model": "gpt2", "task": "train", "seq_len": 1025}, "seq_len"),
        ({"model": "gpt2", "inference": {"prompt_tokens": 1020, "new_tokens": 10}}, "inference.prompt_tokens"),
        ({"model": "gpt2", "training": {"optimizer": "sophia"}}, "training.optimizer"),
        ({"model": "gpt2", "training": {"optimizer": "adagrad", "optimizer_impl": "fused"}}, "training.optimizer_impl"),
        (
            {"model": "gpt2", "task": "train", "training": {"method": "lora", "lora": {"targets": ["q_proj"]}}},
            "training.lora.targets",
        ),
        ({"model": "gpt2", "training": {"lora": {"r": 0}}}, "training.lora.r"),
        ({"model": "gpt2", "training": []}, "training"),
        (
            {"model": "gpt2", "training": {"optimizer_options": {"weight_decay": math.nan}}},
            "training.optimizer_options.weight_decay",
        ),
        ({"model": "gpt2", "inference": {"runtime": "tgi"}}, "inference.runtime"),
        ({"model": "gpt2", "inference": {"weights": "nf5"}}, "inference.weights"),
        ({"model": "gpt2", "parallel": {"pipeline": 8}}, "parallel.pipeline"),
        ({"model": "gpt2", "hardware": {"gpu": "Voodoo 2"}}, "hardware.gpu"),
        ({"model": "gpt2", "hardware": {"reserve": -1}}, "hardware.reserve"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_names_its_field(scenario: dict[str, Any], field: str) -> None:
    with pytest.raises(memcalc.MemcalcError) as caught:
        memcalc.estimate(scenario)
    assert caught.value.field == field
    assert caught.value.message


def test_sizes_beyond_62_bits_are_refused_not_wrapped() -> None:
    huge = {"model": {"parameters": 1e14}, "task": "train", "batch": 2**31 - 1, "seq_len": 2**20}
    with pytest.raises(memcalc.ScenarioError, match="refused"):
        memcalc.estimate(huge)
    with pytest.raises(memcalc.ScenarioError, match="refuse"):
        memcalc.sweep(huge, batch=[1, 2**31 - 1])


def test_fields_that_do_not_apply_are_named() -> None:
    notes = " ".join(memcalc.estimate({"model": "gpt2", "seq_len": 9, "training": {"optimizer": "sgd"}}).assumptions)
    assert "seq_len is ignored" in notes
    assert "training is ignored" in notes


def test_nulls_are_as_good_as_absent() -> None:
    plain = memcalc.estimate({"model": "gpt2", "task": "train"})
    nulls = {"model": "gpt2", "task": "train", "training": None, "inference": None, "batch": None, "hardware": None}
    assert memcalc.estimate(nulls) == plain


def test_defaults_are_filled_in_and_read_again_to_the_same_answer() -> None:
    first = memcalc.estimate({"model": "gpt2", "task": "train"}).as_dict()
    assert first["scenario"]["seq_len"] == 1024
    assert first["scenario"]["training"]["optimizer_impl"] == "foreach"
    assert memcalc.estimate(first["scenario"]).as_dict() == first


def test_strangers_cannot_name_files(tmp_path: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL))
    assert memcalc.estimate({"model": str(path)}).parameters["total"] > 0
    with pytest.raises(memcalc.ModelError):
        memcalc.estimate({"model": str(path)}, allow_files=False)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "null", "[" * 100_000])
def test_a_broken_config_file_is_a_clear_error(tmp_path: Any, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(memcalc.ModelError):
        memcalc.estimate({"model": str(path)})


def test_verdicts_follow_the_range() -> None:
    def verdict(gpu: str, **more: Any) -> Any:
        return memcalc.estimate({"model": "Llama-3.1-8B", "hardware": {"gpu": gpu, **more}}).fit

    assert verdict("24GB")["verdict"] == "fits"
    assert verdict("12GB")["verdict"] == "does not fit"
    assert verdict("12GB")["headroom"] < 0
    plenty = verdict("24GB")
    assert verdict("24GB", reserve=plenty["headroom"])["verdict"] == "tight"


def test_a_generic_model_has_the_size_asked_for_and_a_wider_range() -> None:
    for size in (1e6, 3e7, 1e8, 7e8, 7e9, 7e10, 2e12):
        found = memcalc.estimate({"model": {"parameters": size}, "task": "train", "batch": 4})
        assert found.method == "generic"
        assert found.parameters["total"] == pytest.approx(size, rel=2e-3)
        low, high = found.range["allocated"]
        assert low < found.peak["allocated"] < high
        assert any("assumed" in one for one in found.assumptions)


def test_the_catalogue_has_what_people_type() -> None:
    assert len(catalogue.names()) >= 60
    for name in ("Llama-3.1-8B", "meta-llama/Llama-3.1-8B", "llama-3.1-8b", "gpt2"):
        assert catalogue.find(name).parameters
    with pytest.raises(memcalc.ModelError) as caught:
        catalogue.find("Llama-3.1-9B")
    assert "Llama-3.1-8B" in caught.value.choices


def test_every_catalogue_model_has_its_published_parameter_count() -> None:
    """To the last parameter, against figures published by others (tests/data/parameters.csv)."""
    import csv
    from pathlib import Path

    with (Path(__file__).parent / "data" / "parameters.csv").open(encoding="utf-8", newline="") as source:
        published = {row["name"]: int(row["parameters"]) for row in csv.DictReader(source)}
    assert set(published) == set(catalogue.names())
    for name, count in published.items():
        spec = catalogue.describe(name).spec
        program = PROGRAMS[spec.family](spec, Maker(Question.read({"model": name}).precision.weights))
        assert sum(one.count * one.repeat for one in program.parameters) == count, name


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memcalc", *arguments], input=text, capture_output=True, text=True, check=False
    )


def test_the_command_line_answers_lists_and_goes_on_after_an_error() -> None:
    done = run("estimate", "-", text=json.dumps([{"model": "gpt2"}, {"model": "gpt2", "task": "x"}, {"model": "gpt2"}]))
    first, second, third = json.loads(done.stdout)
    assert done.returncode == 2
    assert first == third == memcalc.estimate({"model": "gpt2"}).as_dict()
    assert second["error"]["field"] == "task"
    assert second["error"]["choices"] == ["train", "infer"]


def test_the_command_line_reads_files_and_refuses_nonsense(tmp_path: Any) -> None:
    path = tmp_path / "scenario.json"
    path.write_text('{"model": "gpt2"}')
    done = run("estimate", str(path))
    assert (done.returncode, json.loads(done.stdout)["method"]) == (0, "program")
    for text in ("", "{", "NaN", "[[]]"):
        done = run("estimate", "-", text=text)
        assert done.returncode == 2
        assert "error" in done.stdout
        assert not done.stderr
    assert run("estimate", str(tmp_path / "none.json")).returncode == 2


def test_the_command_line_lists_gpus_without_a_driver() -> None:
    done = run("gpus", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(found) >= {"driver", "gpus", "note"}


def test_the_core_knows_no_screen() -> None:
    """No file of memcalc outside memcalc/ui imports streamlit or plotly."""
    code = (
        "import sys, memcalc, memcalc.__main__, memcalc.hardware.nvml\n"
        "assert not {'streamlit', 'plotly', 'torch', 'transformers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
