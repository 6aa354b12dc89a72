"""What to type to start a runtime with the settings of a scenario. Values come from a checked scenario and are quoted
for a POSIX shell; nothing is run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from memcalc import checkpoint
from memcalc.quantisation import mixture_of

PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
CACHES = {"fp8": "fp8", "int8": "int8_per_token_head", "int4": "int4_per_token_head"}
"""vLLM's names of cache formats [vllm config/cache.py: CacheDType]."""
ONLINE = {"fp8": "fp8", "nf4": "bitsandbytes", "nf4-dq": "bitsandbytes", "fp4": "bitsandbytes", "int8": "bitsandbytes"}
"""Formats that vLLM makes of a 16-bit checkpoint while it loads; the others need a checkpoint made beforehand."""


def command(scenario: Mapping[str, Any], hub: str) -> str | None:
    """The command line for a scenario as an estimate gives it back (defaults filled in); ``hub`` names the model
    (``org/name``). None for transformers, which is called from Python.

    >>> asked = {"runtime": "ollama", "n_ctx": 8192, "parallel": 1, "kv_cache": "same"}
    >>> command({"precision": "bf16", "inference": asked}, "org/a model")
    "OLLAMA_CONTEXT_LENGTH=8192 OLLAMA_NUM_PARALLEL=1 ollama serve  # then: ollama run 'hf.co/org/a model-GGUF'"
    """
    inference = scenario["inference"]
    makers = {"vllm": _vllm, "llama.cpp": _llama_cpp, "ollama": _ollama, "sglang": _sglang, "tensorrt-llm": _trtllm}
    maker = makers.get(inference["runtime"])
    return maker(scenario, inference, hub) if maker else None


def note(scenario: Mapping[str, Any]) -> str:
    """What has to be there before the command works; empty if nothing."""
    inference = scenario["inference"]
    weights, runtime = inference["weights"], inference["runtime"]
    if runtime in ("llama.cpp", "ollama"):
        return "The file is one that you have downloaded or made; its name here is the usual one."
    if weights != "same" and weights not in ONLINE and not _as_published(scenario):
        return f"{weights} needs a checkpoint that was quantised beforehand: put its name in place of the model's."
    return ""


def _as_published(scenario: Mapping[str, Any]) -> bool:
    """Whether the weights are in the checkpoint's own format, which servers read off its config.json."""
    stored = checkpoint.of(scenario.get("model"))
    return stored is not None and stored.weights == scenario["inference"]["weights"]


def _joined(*words: object) -> str:
    return shlex.join([str(word) for word in words])


def _vllm(scenario: Mapping[str, Any], inference: Mapping[str, Any], hub: str) -> str:
    words: list[object] = ["vllm", "serve", hub, "--dtype", PRECISIONS[scenario["precision"]]]
    for name in ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization"):
        if inference.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", inference[name]]
    if inference["kv_cache"] != "same":
        words += ["--kv-cache-dtype", CACHES[inference["kv_cache"]]]
    if inference["weights"] in ONLINE and not _as_published(scenario):
        words += ["--quantization", ONLINE[inference["weights"]]]
    return _joined(*words, *(["--enforce-eager"] if inference.get("enforce_eager") else []))


def _file(scenario: Mapping[str, Any], inference: Mapping[str, Any], hub: str) -> str:
    mixture = mixture_of(inference["weights"]) or {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}[scenario["precision"]]
    return f"{hub.rpartition('/')[2]}-{mixture.removesuffix('-imatrix')}.gguf"


def _llama_cpp(scenario: Mapping[str, Any], inference: Mapping[str, Any], hub: str) -> str:
    words: list[object] = ["llama-server", "-m", _file(scenario, inference, hub), "-c", inference["n_ctx"]]
    words += ["-np", inference["parallel"], "-ngl", inference["gpu_layers"], "-ub", inference["n_ubatch"]]
    words += ["-fa", "on" if inference["flash_attention"] else "off"]
    if inference["kv_cache"] != "same":
        words += ["-ctk", inference["kv_cache"], "-ctv", inference["kv_cache"]]
    return _joined(*words)


def _ollama(scenario: Mapping[str, Any], inference: Mapping[str, Any], hub: str) -> str:
    parallel = inference["parallel"]
    settings = {"OLLAMA_CONTEXT_LENGTH": inference["n_ctx"], "OLLAMA_NUM_PARALLEL": parallel}
    if inference["kv_cache"] != "same":
        settings |= {"OLLAMA_FLASH_ATTENTION": 1, "OLLAMA_KV_CACHE_TYPE": inference["kv_cache"]}
    said = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in settings.items())
    mixture = mixture_of(inference.get("weights", "same"))
    tag = f":{mixture.removesuffix('-imatrix')}" if mixture else ""
    return f"{said} ollama serve  # then: {_joined('ollama', 'run', f'hf.co/{hub}-GGUF{tag}')}"


def _sglang(scenario: Mapping[str, Any], inference: Mapping[str, Any], hub: str) -> str:
    words: list[object] = ["python", "-m", "sglang.launch_server", "--model-path", hub]
    words += ["--dtype", PRECISIONS[scenario["precision"]], "--context-length", inference["max_model_len"]]
    if inference.get("mem_fraction_static") is not None:
        words += ["--mem-fraction-static", inference["mem_fraction_static"]]
    words += ["--chunked-prefill-size", inference["chunked_prefill_size"]]
    return _joined(*words, *(["--kv-cache-dtype", "fp8_e4m3"] if inference["kv_cache"] == "fp8" else []))


def _trtllm(scenario: Mapping[str, Any], inference: Mapping[str, Any], hub: str) -> str:
    words: list[object] = ["trtllm-serve", hub, "--max_batch_size", inference["max_num_seqs"]]
    words += ["--max_num_tokens", inference["max_num_batched_tokens"], "--max_seq_len", inference["max_model_len"]]
    return _joined(*words, "--kv_cache_free_gpu_memory_fraction", inference["free_gpu_memory_fraction"])
