"""Random small configurations of encoders and of decoders with layers of several kinds, for ``fuzz_traces.py``."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.fuzz_families import Config, coin, common, named
from tests.trace_cases_encoders import labelled
from tests.trace_cases_recurrent import QWEN3_NEXT


def bert(rng: random.Random) -> Config:
    """Masked words, or a label for the sequence."""
    base = common(rng)
    config = named("BertForMaskedLM", "bert", {
        "vocab_size": base["vocab_size"], "hidden_size": base["hidden_size"], "pad_token_id": 0,
        "intermediate_size": base["intermediate_size"], "num_hidden_layers": base["num_hidden_layers"],
        "num_attention_heads": base["num_attention_heads"], "max_position_embeddings": 1026, "type_vocab_size": 2,
        "hidden_act": rng.choice(("gelu", "relu", "gelu_new")), "hidden_dropout_prob": rng.choice((0.0, 0.1)),
        "attention_probs_dropout_prob": rng.choice((0.0, 0.1)),
    })  # fmt: skip
    return labelled(config) if coin(rng) else config


def roberta(rng: random.Random) -> Config:
    config = bert(rng)
    head = config["architectures"][0].replace("Bert", "Roberta")
    return config | {"architectures": [head], "model_type": "roberta", "pad_token_id": 1, "type_vocab_size": 1}


def distilbert(rng: random.Random) -> Config:
    config = bert(rng)
    names = {
        "hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim", "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
    }  # fmt: skip
    found = {
        names.get(key, key): value for key, value in config.items() if key not in ("type_vocab_size", "hidden_act")
    }
    head = config["architectures"][0].replace("Bert", "DistilBert")
    return found | {"architectures": [head], "model_type": "distilbert"}


def qwen3_next(rng: random.Random) -> Config:
    layers = rng.choice((2, 4, 5, 9))
    return QWEN3_NEXT | {
        "vocab_size": rng.choice((101, 997, 32000)), "num_hidden_layers": layers, "num_experts": rng.choice((4, 8, 12)),
        "num_experts_per_tok": rng.choice((1, 2, 4)), "linear_conv_kernel_dim": rng.choice((2, 4)),
        "tie_word_embeddings": coin(rng), "mlp_only_layers": rng.choice(([], [0])), "pad_token_id": 0,
    }  # fmt: skip


OTHERS: dict[str, Callable[[random.Random], Config]] = {
    one.__name__: one for one in (bert, roberta, distilbert, qwen3_next)
}
