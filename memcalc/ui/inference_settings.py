"""Every setting of inference that the core supports. No Streamlit in here."""

from __future__ import annotations

from memcalc.ui import options
from memcalc.ui.form import Json, Setting, get
from memcalc.ui.parallel_settings import SPLITS
from memcalc.ui.training_settings import ATTENTION_LINES

BEAMS = (1, 2, 3, 4, 5, 8, 10, 16)


def _generates(scenario: Json) -> bool:
    return get(scenario, "inference.runtime") != "forward"


LOAD = (
    Setting("runtime", "Runtime", "inference.runtime", "choice", "transformers",
            "Generation with a cache, or one forward pass over the prompt.",
            lines={"transformers": "Hugging Face's generate(): prompt, then token by token, with a growing cache",
                   "forward": "one pass without a cache, all outputs"}),
    Setting("batch", "Sequences at once", "batch", "ladder", 1,
            "How many conversations or documents are answered together.", options.BATCHES),
    Setting("seq", "Prompt tokens", "inference.prompt_tokens", "ladder", 2048,
            "How many tokens each sequence starts with.", options.LENGTHS, carried=True),
    Setting("new", "New tokens", "inference.new_tokens", "ladder", 128,
            "How many tokens the model writes after the prompt; each adds to the KV cache.", options.NEW_TOKENS,
            when=_generates),
    Setting("beams", "Beams", "inference.beams", "ladder", 1, "How many candidates are followed for each sequence.",
            BEAMS, when=_generates),
    Setting("mask", "Padding mask", "attention_mask", "switch", "none",
            "Prompts of unequal length are padded, and a mask says so.", wish="padded"),
)  # fmt: skip
NUMBERS = (
    Setting("infer", "Precision", "precision", "choice", "bf16", "What the model computes in.",
            lines=options.INFERENCE_PRECISIONS),
    Setting("weights", "Weights", "inference.weights", "choice", "same", "How the weights are stored.",
            shown={"same": "as the precision"}),
    Setting("cache", "KV cache", "inference.kv_cache", "choice", "same", "How the cache is stored.",
            shown={"same": "as the precision"}, when=_generates),
)  # fmt: skip
RUNTIME = (
    Setting("split", "Cards that share each layer (tensor parallel)", "parallel.tensor", "ladder", 1,
            "Heads, feed-forward, vocabulary and cache are divided between so many cards.", SPLITS),
    Setting("attention", "Attention kernel", "attention", "choice", "sdpa",
            "A wish: where it cannot run, the next one is taken, and said.", lines=ATTENTION_LINES),
    Setting("logits", "Logits of every prompt token", "inference.logits", "switch", "last",
            "Scores over the whole vocabulary for each token, not only for the last.", wish="all", when=_generates),
)  # fmt: skip

GROUPS = {"Load": LOAD, "Numbers": NUMBERS, "Computation": RUNTIME}
ALL = tuple(setting for group in GROUPS.values() for setting in group)
