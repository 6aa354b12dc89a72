"""llama.cpp (and Ollama, which starts it): model, cache and compute buffers as its log prints them.

Which layers lie on the card (-ngl), the cache's cells and types, the worst graph's compute buffer, and the automatic
fit [llama.cpp src/llama-model.cpp, llama-kv-cache.cpp, llama-context.cpp, common/fit.cpp].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from memcalc.architectures.spec import ModelSpec
from memcalc.errors import ScenarioError
from memcalc.hardware.fit import Device
from memcalc.inference.cache_formats import ggml
from memcalc.inference.layout import CacheLayer, layout, values_per_sequence, values_per_token
from memcalc.overhead import context_bytes
from memcalc.quantisation import mixture_of
from memcalc.question import Question
from memcalc.runtimes.compute_buffer import compute_buffer, host_buffer
from memcalc.runtimes.gguf_file import GgufFile, gguf_file, stored_file
from memcalc.runtimes.served import Served, Term, exact, plus, torch_total
from memcalc.units import GiB, MiB, binary

CELLS = 256
"""Cells to which a cache is rounded up [llama-context.cpp]."""
UBATCH = 512
"""Tokens computed at once, by default [common/common.h: n_ubatch]."""
KEPT_FREE = 1024 * MiB
"""Bytes that the automatic fit leaves free on each card [common/common.h: fit_params_target]."""
LEAST_CONTEXT = 4096
"""Tokens below which the automatic fit does not shrink the context [common/common.h: fit_params_min_ctx]."""
POOL: Term = (0, 64 * MiB, 350 * MiB)
"""Temporaries of CUDA kernels outside the buffers (ggml's memory pool): they depend on kernels and batch (assumed)."""
UNKNOWN = {"opt", "gptj"}
"""Families that llama.cpp has no program for."""
NOT_YET = {
    "gemma3n_text": "memcalc has no program yet for how llama.cpp runs Gemma 3n, whose embeddings for every layer stay "
    "on the host",
}
"""Families that llama.cpp runs and memcalc cannot follow, with the reason."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is fixed before anything is weighed: tokens of context in all, sequences that share it, tokens at once,
    flash attention, layers on the card (the output counts as one), bytes a cached value of keys and of values."""

    n_ctx: int
    parallel: int
    n_ubatch: int
    flash: bool
    gpu_layers: int
    cache: str

    @property
    def cells(self) -> int:
        """Cells of the cache over all sequences."""
        each = -(-self.n_ctx // self.parallel)
        return -(-each // CELLS) * CELLS * self.parallel


@dataclass(frozen=True, slots=True)
class Buffers:
    """Bytes on the card, and on the host."""

    model: int
    cache: int
    compute: int
    host_model: int
    host_cache: int
    host_compute: int

    @property
    def device(self) -> int:
        return self.model + self.cache + self.compute


def plan(question: Question, device: Device | None) -> Served:
    """llama.cpp's buffers for a scenario on ``device``."""
    spec, inference = question.model.spec, question.scenario.inference
    if spec.family in NOT_YET:
        raise ScenarioError(NOT_YET[spec.family], "inference.runtime", ["transformers", "vllm"])
    if spec.family in UNKNOWN:
        raise ScenarioError(f"llama.cpp has no program for {spec.family} models", "inference.runtime", ["transformers"])
    file = file_of(question)
    setup, notes = _setup(question, device)
    outside = plus(context_bytes(device.capability) if device else exact(0), POOL)
    limit = None if device is None else device.capacity
    if limit is not None:
        setup, more = _fitted(question, spec, file, setup, limit - outside[1])
        notes += more
    found = buffers(spec, file, setup)
    length = (inference.prompt_tokens or 1) + inference.new_tokens
    each = setup.n_ctx // setup.parallel
    if length > each:
        notes.append(f"a sequence of {length:,} tokens does not fit its share of the context, {each:,} tokens")
    layers, each_value = layout(spec), ggml(_type(setup.cache))
    report = {
        "name": inference.runtime,
        "file_bytes": file.file_bytes,
        "bits_per_weight": round(file.bits_per_weight, 4),
        "model_buffer": found.model,
        "kv_buffer": found.cache,
        "compute_buffer": found.compute,
        "cpu_model_buffer": found.host_model,
        "cpu_kv_buffer": found.host_cache,
        "host_compute_buffer": found.host_compute,
        "gpu_layers": setup.gpu_layers,
        "layers": spec.layers + 1,
        "n_ctx": setup.n_ctx,
        "kv_tokens": setup.cells,
        "max_concurrency": round(setup.n_ctx / length, 2),
        "kv_bytes_per_token": float(values_per_token(layers) * each_value),
        "kv_bytes_per_sequence": int(values_per_sequence(layers, length) * each_value),
    }  # fmt: skip
    report["log"] = _log(report, setup, spec)
    return Served(
        weights=found.model,
        cache=found.cache,
        needed_cache=found.cache,
        buffer=_around(found.compute),
        beside=exact(0),
        outside=outside,
        limit=limit,
        report=report,
        settings={
            "n_ctx": each if inference.runtime == "ollama" else setup.n_ctx,
            "n_ubatch": setup.n_ubatch, "flash_attention": setup.flash,
            "gpu_layers": setup.gpu_layers, "parallel": setup.parallel,
        },
        assumptions=(*notes, "compute buffer: within a tenth of published logs; up to 350 MiB for kernels are assumed"),
    )  # fmt: skip


def file_of(question: Question) -> GgufFile:
    """The file that is loaded: the mixture asked for, the file that describes the model, or the precision's plain
    format."""
    mixture = mixture_of(question.scenario.inference.weights)
    if mixture is None:
        if question.model.stored is not None:
            return stored_file(question.model.stored)
        mixture = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}[question.scenario.precision]
    return gguf_file(question.model.spec, mixture)


def buffers(spec: ModelSpec, file: GgufFile, setup: Setup) -> Buffers:
    """The three buffers, on the card and on the host.

    Of n layers on the card the output side is the first to go there; then the last blocks. The token embedding stays on
    the host, and where the head is tied to it the card gets a copy [llama-model.cpp: load_tensors]."""
    first = max(0, spec.layers + 1 - setup.gpu_layers)
    model = cache = host_model = host_cache = largest_left = 0
    held = [int(cells * one.per_token * ggml(_type(setup.cache))) for one, cells in _cells(spec, setup)]
    for layer in range(spec.layers):
        size = file.layer(layer)
        if layer >= first:
            model, cache = model + size, cache + held[layer]
        else:
            host_model, host_cache = host_model + size, host_cache + held[layer]
            largest_left = max(largest_left, max(one.on_cuda for one in file.tensors if one.weight.layer == layer))
    embedding, output = file.layer(None, embedding=True), file.layer(None)
    host_model += embedding
    if setup.gpu_layers > 0:
        tied = max(one.on_cuda for one in file.tensors if one.weight.kind == "token_embd") if spec.tied else 0
        model += output + tied
    else:
        host_model += output
    compute = 0
    if setup.gpu_layers > 0:
        # Products with weights of the host are done on the card for long prompts: one matrix is copied over at a time.
        compute = compute_buffer(spec, setup.cells, setup.n_ubatch, setup.flash) + largest_left
    return Buffers(model, cache, compute, host_model, host_cache, host_buffer(spec, setup.cells, setup.n_ubatch))


def _cells(spec: ModelSpec, setup: Setup) -> list[tuple[CacheLayer, int]]:
    """Each layer of the cache with its cells: a sliding window, the tokens in flight, rounded up, for each sequence
    [llama-kv-cache-iswa.cpp]."""
    found = []
    for one in layout(spec):
        cells = setup.cells
        if one.window is not None and spec.windows and None in spec.windows:
            each = min(-(-setup.n_ctx // setup.parallel), one.window + setup.n_ubatch)
            cells = min(cells, -(-each // CELLS) * CELLS * setup.parallel)
        found.append((one, cells))
    return found


def _type(cache: str) -> str:
    return {"same": "f16"}.get(cache, cache)


def _around(compute: int) -> Term:
    return round(compute * 0.9), compute, round(compute * 1.12)


def _setup(question: Question, device: Device | None) -> tuple[Setup, list[str]]:
    """The settings that were given, and the defaults of llama-server or Ollama for the others."""
    spec, inference = question.model.spec, question.scenario.inference
    given, notes = inference.server, []
    parallel = int(given.get("parallel") or question.scenario.batch)
    context = int(given.get("n_ctx") or 0)
    if inference.runtime == "ollama":
        if not context:
            total = torch_total(device) if device else 0
            context = 262144 if total >= 47 * GiB else 32768 if total >= 23 * GiB else 4096
            context = min(context, spec.max_positions)
            notes.append(f"Ollama's default context on this card: {context:,} tokens for each sequence")
        context *= parallel
    elif not context:
        context = _usual(question)
        notes.append(f"n_ctx is not given: llama.cpp takes the context the model was made for, {context:,} tokens")
    flash = bool(given.get("flash_attention", True))
    if inference.kv_cache not in ("same", "f32", "bf16") and not flash:
        notes.append("a quantised cache needs flash attention: it is on")
        flash = True
    layers = given.get("gpu_layers")
    layers = spec.layers + 1 if layers is None or layers < 0 else min(int(layers), spec.layers + 1)
    setup = Setup(context, parallel, int(given.get("n_ubatch") or UBATCH), flash, layers, inference.kv_cache)
    return setup, notes


def _usual(question: Question) -> int:
    inference = question.scenario.inference
    if question.model.method == "generic":
        return ((inference.prompt_tokens or 1) + inference.new_tokens) * question.scenario.batch
    return question.model.spec.max_positions


def _fitted(question: Question, spec: ModelSpec, file: GgufFile, setup: Setup, room: int) -> tuple[Setup, list[str]]:
    """The automatic fit: what was not given is reduced until 1 GiB stays free, first the context (to no less than
    4,096 tokens), then the layers on the card."""
    given = question.scenario.inference.server
    notes: list[str] = []
    room -= KEPT_FREE

    def fits(one: Setup) -> bool:
        return buffers(spec, file, one).device <= room

    if fits(setup):
        return setup, notes
    if not given.get("n_ctx") and question.scenario.inference.runtime == "llama.cpp":
        low, high = 1, max(1, setup.n_ctx // CELLS)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(replace(setup, n_ctx=middle * CELLS)) else (low, middle)
        context = min(setup.n_ctx, max(LEAST_CONTEXT, low * CELLS))
        notes.append(f"automatic fit: the context is reduced from {setup.n_ctx:,} to {context:,} tokens")
        setup = replace(setup, n_ctx=context)
    if not fits(setup) and given.get("gpu_layers") is None:
        wished = setup.gpu_layers
        while setup.gpu_layers > 0 and not fits(setup):
            setup = replace(setup, gpu_layers=setup.gpu_layers - 1)
        notes.append(f"automatic fit: {setup.gpu_layers} of {wished} layers go to the card, the others to the host")
    return setup, notes


def _log(report: dict[str, object], setup: Setup, spec: ModelSpec) -> list[str]:
    """The lines that llama.cpp would print."""

    def mib(name: str) -> str:
        return f"{int(str(report[name])) / MiB:.2f} MiB"

    return [
        f"load_tensors: offloaded {setup.gpu_layers}/{spec.layers + 1} layers to GPU",
        f"load_tensors: CPU_Mapped model buffer size = {mib('cpu_model_buffer')}",
        f"load_tensors: CUDA0 model buffer size = {mib('model_buffer')}",
        f"llama_kv_cache: CUDA0 KV buffer size = {mib('kv_buffer')}",
        f"llama_context: CUDA0 compute buffer size = {mib('compute_buffer')}",
        f"llama_context: CUDA_Host compute buffer size = {mib('host_compute_buffer')}",
        f"print_info: file size = {binary(int(str(report['file_bytes'])))} ({report['bits_per_weight']:.2f} BPW)",
    ]
