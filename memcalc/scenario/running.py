"""Reads ``inference`` and ``hardware``."""

from __future__ import annotations

import re
from typing import Any

from memcalc.errors import ScenarioError
from memcalc.quantisation import CHOICES, SAME, known, mixture_of
from memcalc.scenario.fields import Fields, shown
from memcalc.scenario.settings import Hardware, Inference

VERSION = re.compile(r"v?\d{1,3}(\.\d{1,4}){0,3}([.-]?[a-z]{1,6}\d{0,4})?")
GGUF_ONLY = ("llama.cpp", "ollama")
SERVERS = {
    "vllm": ("version", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization",
             "activation_bytes", "non_torch_bytes", "enforce_eager"),
    "llama.cpp": ("n_ctx", "n_ubatch", "flash_attention", "gpu_layers", "parallel"),
    "ollama": ("n_ctx", "n_ubatch", "flash_attention", "gpu_layers", "parallel"),
    "sglang": ("mem_fraction_static", "chunked_prefill_size", "max_model_len"),
    "tensorrt-llm": ("free_gpu_memory_fraction", "max_num_seqs", "max_num_batched_tokens", "max_model_len"),
}  # fmt: skip
"""Runtimes that keep a cache of their own making, and their settings."""
RUNTIMES = ("transformers", "forward", *SERVERS)
OF_SERVERS = tuple(dict.fromkeys(name for names in SERVERS.values() for name in names))
OTHER_RUNTIMES = ("images", "steps", "offload")
GGML_CACHES = ("f32", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
KV_CACHES = {
    "transformers": ("same", "fp8", "int8", "int4", "static"),
    "forward": ("same",),
    "vllm": ("same", "fp8", "int8", "int4"),
    "llama.cpp": ("same", *GGML_CACHES),
    "ollama": ("same", "q8_0", "q4_0"),
    "sglang": ("same", "fp8"),
    "tensorrt-llm": ("same", "fp8", "int8"),
}
"""How each runtime can store the cache."""
MOST_BEAMS = 1024


def read_inference(top: Fields, task: str, notes: list[str]) -> Inference:
    raw = top.get("inference")
    if raw is None:
        return Inference()
    read = Fields(raw, "inference")
    runtime = read.choice("runtime", RUNTIMES, "transformers")
    for name in OTHER_RUNTIMES + OF_SERVERS:
        if name not in SERVERS.get(runtime, ()) and read.get(name) is not None:
            notes.append(f"inference.{name} is ignored: it does not apply to the runtime {runtime}")
    beams = read.whole("beams", 1, high=MOST_BEAMS)
    if beams > 1 and runtime != "transformers":
        notes.append(f"inference.beams is ignored: it does not apply to the runtime {runtime}")
        beams = 1
    found = Inference(
        prompt_tokens=None if read.get("prompt_tokens") is None else read.whole("prompt_tokens", 1),
        new_tokens=read.whole("new_tokens", 128, low=0 if runtime == "forward" else 1),
        runtime=runtime,
        logits=read.choice("logits", ("last", "all"), "all" if runtime == "forward" else "last"),
        weights=_weights(read, runtime),
        kv_cache=_kv_cache(read, runtime),
        beams=beams,
        server=_server(read, SERVERS.get(runtime, ())),
    )
    read.finish()
    if task != "infer":
        notes.append("inference is ignored: the task is train")
        return Inference()
    return found


def _weights(read: Fields, runtime: str) -> str:
    value = read.get("weights")
    if value is None:
        return SAME
    if not isinstance(value, str) or not known(value):
        raise ScenarioError(
            f"inference.weights must be one of the choices (bits and groups may be others), not {shown(value)}",
            "inference.weights",
            CHOICES,
        )
    mixture = mixture_of(value)
    if runtime in GGUF_ONLY and value != SAME and mixture is None:
        raise ScenarioError(
            f"{runtime} reads GGUF files only, not {value}",
            "inference.weights",
            [one for one in CHOICES if mixture_of(one) or one == SAME],
        )
    if runtime not in GGUF_ONLY and mixture is not None and runtime != "vllm":
        raise ScenarioError(
            f"{runtime} does not compute with GGUF files as they are; llama.cpp, ollama and vllm do",
            "inference.weights",
            [one for one in CHOICES if mixture_of(one) is None],
        )
    return f"gguf:{mixture}" if mixture else value


def _kv_cache(read: Fields, runtime: str) -> str:
    value = read.get("kv_cache")
    everywhere = tuple(dict.fromkeys(one for names in KV_CACHES.values() for one in names))
    if value is None:
        return SAME
    if value not in everywhere:
        raise ScenarioError(
            f"inference.kv_cache must be one of the choices, not {shown(value)}", "inference.kv_cache", everywhere
        )
    if value not in KV_CACHES[runtime]:
        raise ScenarioError(f"{runtime} has no {value} cache", "inference.kv_cache", KV_CACHES[runtime])
    return str(value)


def _server(read: Fields, names: tuple[str, ...]) -> dict[str, Any]:
    """The settings of a serving runtime that were given; its own defaults come when the model and card are known."""
    found: dict[str, Any] = {}
    for name in names:
        value = read.get(name)
        if value is None:
            continue
        if name == "version":
            if not isinstance(value, str | int | float) or not VERSION.fullmatch(str(value)):
                raise ScenarioError(f"inference.version must look like 0.10.1, not {shown(value)}", "inference.version")
            found[name] = str(value)
        elif name in ("gpu_memory_utilization", "mem_fraction_static", "free_gpu_memory_fraction"):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                raise ScenarioError(
                    f"inference.{name} must be above 0 and at most 1, not {shown(value)}", f"inference.{name}"
                )
            found[name] = float(value)
        elif name == "enforce_eager":
            found[name] = read.flag(name)
        elif name == "flash_attention":
            if value not in (True, False, "on", "off", "auto"):
                raise ScenarioError(
                    f"inference.{name} must be one of the choices, not {shown(value)}",
                    f"inference.{name}",
                    [True, False, "auto"],
                )
            found[name] = value in (True, "on", "auto")
        elif name in ("activation_bytes", "non_torch_bytes"):
            found[name] = read.whole(name, 0, low=0, high=2**50)
        elif name == "n_ctx":
            found[name] = read.whole(name, 0, low=0)
        elif name == "gpu_layers":
            found[name] = read.whole(name, 0, low=-1)
        else:
            found[name] = read.whole(name, 1)
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
