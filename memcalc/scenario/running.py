"""Reads ``inference`` and ``hardware``."""

from __future__ import annotations

from memcalc.errors import ScenarioError
from memcalc.scenario.fields import Fields
from memcalc.scenario.settings import Hardware, Inference

RUNTIMES = ("transformers", "forward")
OTHER_RUNTIMES = (
    "version", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization",
    "activation_bytes", "non_torch_bytes", "n_ctx", "n_ubatch", "flash_attention", "gpu_layers", "parallel",
    "images", "steps", "offload",
)  # fmt: skip


def read_inference(top: Fields, task: str, notes: list[str]) -> Inference:
    raw = top.get("inference")
    if raw is None:
        return Inference()
    read = Fields(raw, "inference")
    runtime = read.choice("runtime", RUNTIMES, "transformers")
    for name in ("weights", "kv_cache", "beams"):
        read.neutral(name)
    for name in OTHER_RUNTIMES:
        if read.get(name) is not None:
            notes.append(f"inference.{name} is ignored: it does not apply to the runtime {runtime}")
    found = Inference(
        prompt_tokens=None if read.get("prompt_tokens") is None else read.whole("prompt_tokens", 1),
        new_tokens=read.whole("new_tokens", 128, low=0 if runtime == "forward" else 1),
        runtime=runtime,
        logits=read.choice("logits", ("last", "all"), "all" if runtime == "forward" else "last"),
    )
    read.finish()
    if task != "infer":
        notes.append("inference is ignored: the task is train")
        return Inference()
    return found


def read_hardware(top: Fields) -> Hardware:
    raw = top.get("hardware")
    if raw is None:
        return Hardware()
    read = Fields(raw, "hardware")
    gpu = read.get("gpu")
    if gpu is not None and not isinstance(gpu, str):
        raise ScenarioError("hardware.gpu must be the name of a GPU, a size such as 16GB, or live:0", "hardware.gpu")
    free = None if read.get("free") is None else read.whole("free", 0, low=0, high=2**50)
    found = Hardware(gpu, read.whole("count", 1), read.whole("reserve", 0, low=0, high=2**50), free)
    read.finish()
    return found
