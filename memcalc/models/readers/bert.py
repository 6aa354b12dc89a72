"""Reads BERT, RoBERTa, XLM-RoBERTa and DistilBERT configurations (transformers 5.23 models/*/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.encoder import EncoderSpec, Head
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Read, Reader, labels, named_head

DISTIL_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}


def heads(prefix: str) -> dict[str, Head]:
    """The heads that have a program, by the name of the class."""
    return {
        f"{prefix}ForMaskedLM": "masked-lm",
        f"{prefix}ForSequenceClassification": "classification",
        f"{prefix}Model": "none",
    }


def _reader(family: str, prefix: str, vocab: int) -> Read:
    distil, counted = family == "distilbert", prefix != "Bert" and family == "roberta"

    def read(config: Mapping[str, Any]) -> tuple[EncoderSpec, list[str]]:
        read = Reader(config, DISTIL_NAMES if distil else None)
        hidden, count = read.size("hidden_size", 768), read.size("num_attention_heads", 12)
        if hidden % count:
            raise ModelError(
                f"hidden_size {hidden} is not a multiple of num_attention_heads {count}", f"{FIELD}.hidden_size"
            )
        for option in ("is_decoder", "add_cross_attention"):
            if read.flag(option, False):
                raise ModelError(f"{prefix} as a decoder has no program ({option})", f"{FIELD}.{option}", [False])
        if config.get("position_embedding_type") not in (None, "absolute"):
            raise ModelError(
                "transformers 5 has absolute positions only", f"{FIELD}.position_embedding_type", ["absolute"]
            )
        if not read.flag("tie_word_embeddings", True):
            raise ModelError(f"{prefix} with a head of its own has no program", f"{FIELD}.tie_word_embeddings", [True])
        if config.get("chunk_size_feed_forward"):
            raise ModelError("feed-forward in chunks has no program", f"{FIELD}.chunk_size_feed_forward", [0])
        head = heads(prefix)[named_head(config, f"{prefix}ForMaskedLM")]
        rows = read.size("max_position_embeddings", 512)
        dropout = read.probability("hidden_dropout_prob", 0.1)
        unused = _unused(config, rows) if counted else 0
        spec = EncoderSpec(
            family=family,
            vocab=read.size("vocab_size", vocab),
            hidden=hidden,
            layers=read.size("num_hidden_layers", 6 if distil else 12),
            heads=count,
            kv_heads=count,
            head_dim=hidden // count,
            ffn=read.size("intermediate_size", 3072),
            max_positions=rows - unused,
            activation=read.activation("hidden_act", "gelu"),
            tied=head == "masked-lm",
            learned_positions=True,
            qkv_bias=True,
            output_bias=True,
            mlp_bias=True,
            embedding_dropout=dropout,
            residual_dropout=dropout,
            attention_dropout=read.probability("attention_probs_dropout_prob", 0.1),
            head=head,
            labels=labels(config),
            rows=rows,
            types=0 if distil else read.size("type_vocab_size", 2),
            head_dropout=(
                read.probability("seq_classif_dropout", 0.2)
                if distil
                else read.probability("classifier_dropout", dropout)
            ),
        )
        return spec, read.assumptions

    return read


def _unused(config: Mapping[str, Any], rows: int) -> int:
    """Positions begin after the padding token's number."""
    padding = config.get("pad_token_id", 1)
    if isinstance(padding, bool) or not isinstance(padding, int) or not 0 <= padding < rows - 1:
        raise ModelError("positions are counted from pad_token_id: a small whole number", f"{FIELD}.pad_token_id")
    return padding + 1


def _family(family: str, prefix: str, vocab: int) -> Family:
    return Family(_reader(family, prefix, vocab), f"{prefix}ForMaskedLM", tuple(heads(prefix)))


FAMILIES = {
    "bert": _family("bert", "Bert", 30522),
    "roberta": _family("roberta", "Roberta", 50265),
    "xlm-roberta": _family("roberta", "XLMRoberta", 30522),
    "camembert": _family("roberta", "Camembert", 30522),
    "distilbert": _family("distilbert", "DistilBert", 30522),
}
