"""The tracer as a user meets it: the command, any module of one's own from Python, no network, no remote code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memcalc.errors import MemcalcError, ModelError
from memcalc.trace import TraceUnavailable, installed, trace
from memcalc.trace.answer import traced_estimate

needs_torch = pytest.mark.skipif(not installed(), reason="torch and transformers are not installed")
TINY = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4,
        "vocab_size": 500}  # fmt: skip
SCENARIO = {"model": {"config": TINY}, "task": "train", "seq_len": 64, "batch": 2, "hardware": {"gpu": "8GB"}}


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TraceUnavailable, match=r"pip install -e '\.\[trace\]'"):
        trace(SCENARIO)


@needs_torch
def test_the_command_needs_no_network_and_answers_as_estimate_does(tmp_path: Path) -> None:
    """Every way out is closed before anything is imported; the answer has the contract's fields."""
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps(SCENARIO))
    closed = (
        "import sys, runpy\n"
        "def shut(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname'):\n"
        "        raise RuntimeError(f'network: {event} {args}')\n"
        "sys.addaudithook(shut)\n"
        f"sys.argv = ['memcalc', 'trace', {str(file)!r}]\n"
        "runpy.run_module('memcalc', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", closed], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    estimated = json.loads(
        subprocess.run([sys.executable, "-m", "memcalc", "estimate", str(file)], capture_output=True, text=True,
                       check=True).stdout
    )  # fmt: skip
    assert set(estimated) <= set(answer)
    assert answer["method"] == "traced"
    assert set(answer["peak"]) == set(estimated["peak"])
    assert answer["peak"]["tensors"] == estimated["peak"]["tensors"]
    assert answer["fit"]["verdict"] == "fits"
    assert answer["tensors"][0]["made_by"]
    assert sum(answer["at_peak"].values()) == answer["peak"]["tensors"]
    assert "iter2.bwd" in done.stderr  # the progress line


@needs_torch
def test_tensors_at_the_peak_name_the_operation_and_add_up() -> None:
    answer = traced_estimate(SCENARIO)
    listed = sum(one["bytes"] * one["count"] for one in answer["tensors"])
    assert 0.99 * answer["peak"]["tensors"] <= listed <= answer["peak"]["tensors"]
    table = next(one for one in answer["tensors"] if one["component"] == "weights" and one["shape"] == [500, 64])
    assert (table["bytes"], table["made_by"]) == (500 * 64 * 2, "load")  # bf16, tied: one table


@needs_torch
def test_any_module_of_ones_own_from_python() -> None:
    """One linear layer with its loss, by hand: 1024 x 1024 fp32 weights are 4 MiB, as are gradients and each state."""
    import torch

    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(1024, 1024, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x).pow(2).mean()

    def rows(_: torch.nn.Module, batch: int) -> dict[str, Any]:
        return {"x": torch.empty(batch, 1024)}

    scenario = {"task": "train", "precision": "fp32", "batch": 512}
    found = trace(scenario, factory=Own, batch=rows)
    assert found.parameters["total"] == 1024 * 1024
    assert found.persistent == 4 * 4 * 2**20
    # Backward of the second step: weights, two states, the input and the product (2 MiB each) and what pow's
    # backward makes of it before the weight's gradient (4 MiB) is there.
    assert 4 * 4 * 2**20 + 4 * 2**20 <= found.tensors <= 4 * 4 * 2**20 + 10 * 2**20
    answer = traced_estimate(scenario, factory=Own, batch=rows)
    assert answer["peak"]["tensors"] == found.tensors
    assert answer["scenario"]["model"]["factory"].endswith("Own")
    assert trace({"task": "infer", "precision": "fp32", "batch": 512}, factory=Own, batch=rows).phase == "forward"


@needs_torch
def test_a_factory_by_name_and_what_is_wrong_with_one() -> None:
    with pytest.raises(ModelError, match="cannot be found"):
        trace(SCENARIO, factory="no.such.package:thing")
    with pytest.raises(ModelError, match=r"not a torch\.nn\.Module"):
        trace(SCENARIO, factory="collections:OrderedDict")
    with pytest.raises(ModelError, match="batch="):
        trace({"task": "infer"}, factory="torch.nn:Identity")


@needs_torch
@pytest.mark.parametrize("model", ["os:getcwd", {"factory": "os:getcwd"}, {"timm": "hf-hub:someone/some"}])
def test_a_scenario_never_names_code_to_run(model: Any) -> None:
    """A factory is Python's privilege; timm's hub names would fetch what strangers have put there."""
    for ask in (trace, traced_estimate):
        with pytest.raises(MemcalcError):
            ask({"model": model, "task": "infer"})


@needs_torch
def test_remote_code_and_kernels_of_a_configuration_are_dropped() -> None:
    foreign = TINY | {
        "auto_map": {"AutoModelForCausalLM": "someone/some--modeling.Evil"},
        "_attn_implementation": "kernels-community/flash-attn",
        "quantization_config": {"quant_method": "bitsandbytes"},
    }
    assert trace(SCENARIO | {"model": {"config": foreign}}).tensors == trace(SCENARIO).tensors


@needs_torch
@pytest.mark.parametrize("config", [{"hidden_size": "x"}, {"architectures": ["pipeline"], "n_head": 7}])
def test_what_model_code_refuses_is_an_error_and_no_crash(config: dict[str, Any]) -> None:
    with pytest.raises(MemcalcError):
        trace(SCENARIO | {"model": {"config": TINY | config}})
