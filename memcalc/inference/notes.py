"""What an estimate of inference has to say about its settings, and what transformers would hold for a sequence."""

from __future__ import annotations

from typing import Any

from memcalc.architectures.program import Program
from memcalc.architectures.seq2seq import Seq2SeqSpec
from memcalc.inference.cache_formats import grouped, plain
from memcalc.inference.layout import layout, state_bytes, values_per_sequence, values_per_token
from memcalc.inference.two_sided import cache_report
from memcalc.quantisation import scheme_for
from memcalc.quantisation.scheme import Scheme
from memcalc.question import Question
from memcalc.recurrent import generation_notes
from memcalc.training.standing import weight_bytes


def inference_notes(question: Question) -> list[str]:
    """The assumptions behind the settings of inference, each a sentence."""
    inference = question.scenario.inference
    scheme = scheme_for(inference.weights)
    notes = generation_notes(question.model.spec)
    if scheme is not None:
        stored = question.model.published
        own = stored if stored is not None and stored.weights == inference.weights else None
        head = scheme.head_pieces(64, 64) is not None or (own is not None and own.head)
        kept = "embeddings, norms and biases" if head else "embeddings, norms, biases and the head"
        if own is not None and own.leaves_more:
            kept += ", and the modules that its quantization_config leaves out,"
        notes.append(f"weights: {scheme.label}; {kept} stay in {question.scenario.precision}")
        mixture = getattr(question.model.spec, "experts", 1) > 1
        if mixture and not question.serving and scheme.product.startswith("bnb"):
            notes.append("experts stay as they are: bitsandbytes quantises linear layers, not experts in one tensor")
        if mixture and scheme.name == "mxfp4" and (own is None or own.method == "mxfp4"):
            notes.append("MXFP4: the experts only, as gpt-oss is published; everything else stays in 16 bits")
        if not question.serving:
            notes += _kernel(scheme)
    if inference.kv_cache in ("int8", "int4") and not question.serving:
        notes.append(
            "QuantizedCache: groups of 64, the newest tokens (up to 127) unquantised, each layer dequantised whole at "
            "every step; windows of sliding layers are not used"
        )
    if inference.kv_cache == "static":
        notes.append("StaticCache: room for all tokens is taken at the first step")
    if inference.beams > 1:
        notes.append(f"beam search: every sequence is run {inference.beams} times at once, from the prompt on")
    return notes


def _kernel(scheme: Scheme) -> list[str]:
    notes = ["what quantised kernels allocate for a moment was read in their source, not traced: the range is wider"]
    if scheme.scratch:
        notes.append(
            "GPTQ 4 bits: ExLlama's kernel keeps a 16-bit buffer for the largest matrix; Marlin's would not, the range "
            "goes down to that"
        )
    if scheme.name.startswith("exl"):
        notes.append("EXL2 and EXL3 are computed by ExLlama; cache and activations are taken as in transformers")
    return notes


def generation_report(question: Question, program: Program) -> dict[str, Any] | None:
    """What a generation with transformers keeps: bytes a token and a sequence of the cache, and of the weights."""
    scenario = question.scenario
    if scenario.task == "train":
        return None
    inference = scenario.inference
    weights = weight_bytes(program)
    found: dict[str, Any] = {
        "name": inference.runtime,
        "weights": weights,
        "bits_per_weight": round(8 * weights / sum(one.count * one.repeat for one in program.parameters), 4),
    }
    if inference.runtime == "forward":
        return found
    size = question.precision.weights.size
    each = (
        grouped(int(inference.kv_cache[3:]))
        if inference.kv_cache in ("int8", "int4")
        else plain(size, inference.kv_cache)
    )
    spec = question.model.spec
    if isinstance(spec, Seq2SeqSpec):
        source = spec.sources or inference.prompt_tokens or 1
        kept = {"size": size, "source": source, "target": inference.new_tokens}
        return {**found, **cache_report(spec, {**kept, "batch": scenario.batch, "beams": inference.beams})}
    layers = layout(spec)
    tokens = (inference.prompt_tokens or 1) + inference.new_tokens - 1
    states = state_bytes(layers, size) * inference.beams
    if states:
        found["state_bytes_per_sequence"] = states
    return {
        **found,
        "kv_bytes_per_token": float(values_per_token(layers) * each * inference.beams),
        "kv_bytes_per_sequence": round(values_per_sequence(layers, tokens) * each * inference.beams) + states,
        "kv_tokens": tokens * scenario.batch * inference.beams,
    }
