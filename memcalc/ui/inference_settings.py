"""Every setting of inference that the core supports. No Streamlit in here."""

from __future__ import annotations

from memcalc.ui import options, own_models
from memcalc.ui.form import Json, Setting, get
from memcalc.ui.parallel_settings import SPLITS
from memcalc.ui.training_settings import ATTENTION_LINES

BEAMS = (1, 2, 3, 4, 5, 8, 10, 16)


SERVERS = ("vllm", "sglang", "tensorrt-llm")
GGUF = ("llama.cpp", "ollama")
WEIGHTS = (
    "same", "int8", "nf4", "nf4-dq", "gptq-4bit-g128", "gptq-8bit-g128", "awq-4bit-g128", "fp8", "fp8-block", "mxfp4",
    "nvfp4", "hqq-4bit-g64", "torchao-int4-g128", "exl2-4bpw", "exl3-3bpw",
)  # fmt: skip
STORED = ("same", "dequantized", *WEIGHTS[1:])
"""For a checkpoint that was published quantised."""
WEIGHTS_SHOWN = ("same", "int8", "nf4", "awq-4bit-g128", "fp8")
"""Those whose effect stands beside the control; the table further down has them all."""
FILES = (
    "gguf:F16", "gguf:Q8_0", "gguf:Q6_K", "gguf:Q5_K_M", "gguf:Q4_K_M", "gguf:Q4_K_S", "gguf:Q4_0", "gguf:IQ4_XS",
    "gguf:Q3_K_M", "gguf:IQ3_M", "gguf:Q2_K", "gguf:IQ2_M",
)  # fmt: skip
CONTEXTS = tuple(one for one in options.LENGTHS if one >= 1024)
RUNTIMES = {
    "transformers": "Hugging Face's generate(): prompt, then token by token, with a growing cache",
    "forward": "one pass without a cache, all outputs",
    "vllm": "a server that turns what is left of the card into pages of cache",
    "llama.cpp": "llama-server with a GGUF file; layers may stay on the host",
    "ollama": "llama.cpp with Ollama's defaults",
    "sglang": "a server with pages of cache; its rules could not be checked, the range is wide",
    "tensorrt-llm": "NVIDIA's engine; its rules could not be checked, the range is wide",
}


def _runtime(scenario: Json) -> str:
    return str(get(scenario, "inference.runtime") or "transformers")


def _generates(scenario: Json) -> bool:
    return _runtime(scenario) == "transformers"


def _writes(scenario: Json) -> bool:
    return _runtime(scenario) != "forward"


def _torch(scenario: Json) -> bool:
    return _runtime(scenario) not in (*SERVERS, *GGUF)


def _pages(scenario: Json) -> bool:
    return _runtime(scenario) in SERVERS


def _reads_gguf(scenario: Json) -> bool:
    return _runtime(scenario) in GGUF


def _published(scenario: Json) -> bool:
    model = scenario.get("model")
    return own_models.is_own(model) and own_models.described(model).published is not None


def _other_weights(scenario: Json) -> bool:
    return not _reads_gguf(scenario) and not _published(scenario)


def _stored_weights(scenario: Json) -> bool:
    return not _reads_gguf(scenario) and _published(scenario)


def _passes(scenario: Json) -> bool:
    return not _writes(scenario)


LOAD = (
    Setting("runtime", "Runtime", "inference.runtime", "choice", "transformers",
            "What runs the model: it decides how cache and working memory are taken.", lines=RUNTIMES, compared=()),
    Setting("batch", "Sequences at once", "batch", "ladder", 1,
            "How many conversations or documents are answered together.", options.BATCHES),
    Setting("seq", "Prompt tokens", "inference.prompt_tokens", "ladder", 2048,
            "How many tokens each sequence starts with; beside an encoder, how many it reads.", options.LENGTHS,
            carried=True),
    Setting("target", "Tokens the decoder reads", "target_len", "ladder", 128,
            "One pass takes what the decoder has written so far as well.", options.TARGETS, when=_passes),
    Setting("new", "New tokens", "inference.new_tokens", "ladder", 128,
            "How many tokens the model writes after the prompt; each adds to the KV cache.", options.NEW_TOKENS,
            when=_writes),
    Setting("longest", "Longest sequence", "inference.max_model_len", "ladder", 8192,
            "Tokens that one request may have, prompt and answer together; the server wants room for one such request.",
            CONTEXTS, when=_pages, said=True),
    Setting("context", "Context", "inference.n_ctx", "ladder", 8192,
            "Tokens of cache: for all sequences together in llama.cpp, for each in Ollama.", CONTEXTS,
            when=_reads_gguf, said=True),
    Setting("beams", "Beams", "inference.beams", "ladder", 1, "How many candidates are followed for each sequence.",
            BEAMS, when=_generates),
    Setting("mask", "Padding mask", "attention_mask", "switch", "none",
            "Prompts of unequal length are padded, and a mask says so.", wish="padded", when=_torch),
)  # fmt: skip
NUMBERS = (
    Setting("infer", "Precision", "precision", "choice", "bf16", "What the model computes in.",
            lines=options.INFERENCE_PRECISIONS),
    Setting("weights", "Weights", "inference.weights", "choice", "same", "How the weights are stored.",
            shown={"same": "as the precision"}, only=WEIGHTS, when=_other_weights, compared=WEIGHTS_SHOWN),
    Setting("stored", "Weights", "inference.weights", "choice", "same",
            "This checkpoint was published quantised. Other formats are taken as if made of the original weights.",
            shown={"same": "as published", "dequantized": "dequantised to the precision"}, only=STORED,
            when=_stored_weights, compared=STORED[:2]),
    Setting("gguf", "GGUF file", "inference.weights", "choice", "gguf:Q4_K_M",
            "Which mixture of block types the file is made of.",
            shown={one: one.removeprefix("gguf:") for one in FILES}, only=FILES, when=_reads_gguf, said=True,
            compared=("gguf:Q8_0", "gguf:Q6_K", "gguf:Q5_K_M", "gguf:Q4_K_M", "gguf:Q3_K_M", "gguf:Q2_K")),
    Setting("cache", "KV cache", "inference.kv_cache", "choice", "same", "How the cache is stored.",
            shown={"same": "as the precision"}, only=("same", "fp8", "int8", "int4", "static"), when=_generates),
    Setting("paged", "KV cache", "inference.kv_cache", "choice", "same", "How the cache is stored.",
            shown={"same": "as the precision"}, only=("same", "fp8"), when=_pages),
    Setting("cells", "KV cache", "inference.kv_cache", "choice", "same", "How keys and values are stored.",
            shown={"same": "f16"}, only=("same", "q8_0", "q4_0"), when=_reads_gguf),
)  # fmt: skip
RUNTIME = (
    Setting("split", "Cards that share each layer (tensor parallel)", "parallel.tensor", "ladder", 1,
            "Heads, feed-forward, vocabulary and cache are divided between so many cards.", SPLITS),
    Setting("attention", "Attention kernel", "attention", "choice", "sdpa",
            "A wish: where it cannot run, the next one is taken, and said.", lines=ATTENTION_LINES, when=_torch),
    Setting("plain", "Without flash attention", "inference.flash_attention", "switch", True,
            "llama.cpp then needs room for the scores of all heads.", wish=False, when=_reads_gguf),
    Setting("logits", "Logits of every prompt token", "inference.logits", "switch", "last",
            "Scores over the whole vocabulary for each token, not only for the last.", wish="all", when=_generates),
)  # fmt: skip

GROUPS = {"Load": LOAD, "Numbers": NUMBERS, "Computation": RUNTIME}
ALL = tuple(setting for group in GROUPS.values() for setting in group)
