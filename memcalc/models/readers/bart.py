"""Reads BART, mBART and Whisper configurations (transformers 5.23 models/{bart,mbart,whisper}/configuration_*.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.architectures.bart_blocks import BartSpec
from memcalc.architectures.whisper import WhisperSpec
from memcalc.errors import ModelError
from memcalc.models.reader import FIELD, Family, Reader

SIDES = ("encoder", "decoder")


def read_bart(config: Mapping[str, Any]) -> tuple[BartSpec, list[str]]:
    """BART, or mBART, whose LayerNorms stand first."""
    read = Reader(config)
    if not read.flag("tie_word_embeddings", True):
        raise ModelError(
            "with tables of tokens that are not tied, one for each side, it has no program",
            f"{FIELD}.tie_word_embeddings",
            [True],
        )
    positions = read.size("max_position_embeddings", 1024)
    spec = BartSpec(
        **_sizes(read, hidden=1024, layers=12, heads=16, ffn=4096, vocab=50265, dropout=0.1),
        family="bart",
        max_positions=positions,
        learned_positions=True,
        max_targets=positions,
        norm_first=config.get("model_type") == "mbart",
    )
    return spec, read.assumptions


def read_whisper(config: Mapping[str, Any]) -> tuple[WhisperSpec, list[str]]:
    read = Reader(config)
    sources = read.size("max_source_positions", 1500)
    spec = WhisperSpec(
        **_sizes(read, hidden=384, layers=4, heads=6, ffn=1536, vocab=51865, dropout=0.0),
        family="whisper",
        max_positions=sources,
        max_targets=read.size("max_target_positions", 448),
        sources=sources,
        key_bias=False,
        mels=read.size("num_mel_bins", 80),
    )
    if read.flag("apply_spec_augment", False):
        read.assumptions.append("apply_spec_augment: its masks over the spectrogram are not counted")
    return spec, read.assumptions


def _sizes(read: Reader, hidden: int, layers: int, heads: int, ffn: int, vocab: int, dropout: float) -> dict[str, Any]:
    """What all of them say by the same names, with a class's defaults."""
    hidden = read.size("d_model", hidden)
    counts = {side: read.size(f"{side}_attention_heads", heads) for side in SIDES}
    for side, count in counts.items():
        if hidden % count:
            field = f"{side}_attention_heads"
            raise ModelError(f"d_model {hidden} is not a multiple of {field} {count}", f"{FIELD}.{field}")
        if read.probability(f"{side}_layerdrop", 0.0):
            raise ModelError("layers that are dropped at random have no program", f"{FIELD}.{side}_layerdrop", [0.0])
    if read.flag("is_decoder", False) or read.flag("add_cross_attention", False):
        raise ModelError("one side alone has no program (is_decoder, add_cross_attention)", f"{FIELD}.is_decoder")
    return {
        "vocab": read.size("vocab_size", vocab),
        "hidden": hidden,
        "layers": read.size("decoder_layers", layers),
        "heads": counts["decoder"],
        "kv_heads": counts["decoder"],
        "head_dim": hidden // counts["decoder"],
        "ffn": read.size("decoder_ffn_dim", ffn),
        "activation": read.activation("activation_function", "gelu"),
        "tied": read.flag("tie_word_embeddings", True),
        "residual_dropout": read.probability("dropout", dropout),
        "attention_dropout": read.probability("attention_dropout", 0.0),
        "inner_dropout": read.probability("activation_dropout", 0.0),
        "encoder_layers": read.size("encoder_layers", layers),
        "encoder_heads": counts["encoder"],
        "encoder_ffn": read.size("encoder_ffn_dim", ffn),
    }


FAMILIES = {
    "bart": Family(read_bart, "BartForConditionalGeneration"),
    "mbart": Family(read_bart, "MBartForConditionalGeneration"),
    "whisper": Family(read_whisper, "WhisperForConditionalGeneration"),
}
