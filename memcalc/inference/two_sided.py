"""A generation by an encoder-decoder as a timeline: load; the encoder and the first token; first and last decode step.

Mirrors ``torch.no_grad`` generation with transformers' EncoderDecoderCache: the encoder is run once, its result and
its inputs are held to the end; keys and values of what it said are made in the first step and then only read
[transformers 5.23 generation/utils.py, cache_utils.py].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from memcalc.architectures.run import Cache, Run
from memcalc.architectures.seq2seq import Seq2Seq, Seq2SeqSpec
from memcalc.formats import Format
from memcalc.inference.generate import Base, scores
from memcalc.stages import Stage
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import segments


def generation_stages(
    program: Seq2Seq, run: Run, base: Base, prompt: Size, new_tokens: Size, one_sequence: bool, beams: int
) -> list[Stage]:
    """The encoder over ``prompt`` tokens, then ``new_tokens`` steps of the decoder for ``beams`` candidates each."""
    run = replace(run, length=prompt, target=1, training=False, beams=beams)
    run = replace(run, source=program.source(run))
    found = [Stage("load", 0, dict(base), [], []), _first(program, run, base, one_sequence)]
    lengths: list[Size] = [1, new_tokens - 1]
    for step, past in enumerate(lengths, start=2):
        found.append(_decode(program, replace(run, past=past), base, one_sequence, step))
    return found


def _first(program: Seq2Seq, run: Run, base: Base, one_sequence: bool) -> Stage:
    """The encoder, and the decoder's first step, which fills both caches."""
    tape = _tape(one_sequence and run.beams == 1, "prefill")
    inputs = program.read(tape, run)
    encoded = program.encode(tape, inputs, run)
    many = replace(run, batch=run.batch * run.beams, cache=Cache(), cross=Cache())
    if run.beams > 1:
        encoded = _held(tape, many, program.spec.hidden, encoded.format)
    last = _step(program, tape, many, encoded)
    parts = segments(tape)
    del inputs, encoded, last, many
    return Stage("prefill", 1, dict(base), parts, [])


def _decode(program: Seq2Seq, run: Run, base: Base, one_sequence: bool, step: int) -> Stage:
    spec = program.spec
    tape = _tape(one_sequence and run.beams == 1, "cache")
    inputs = program.read(tape, run)
    many = replace(run, batch=run.batch * run.beams, cache=Cache(), cross=Cache())
    assert many.cache is not None
    assert many.cross is not None
    encoded = _held(tape, many, spec.hidden, run.compute)
    for index, template in enumerate(program.decoder_plan, start=len(program.encoder_plan)):
        tape.begin("cache", template.label, template.repeat, template.group)
        for cache, length, shapes in (
            (many.cache, run.past, spec.cache_shape(0)),
            (many.cross, run.source, spec.cross_shape),
        ):
            keys, values = ((many.batch, heads, length, width) for heads, width in shapes)
            cache.fill(tape, index, (keys, values), None, run.compute, True)
    tape.begin("decode", "embedding")
    last = _step(program, tape, many, None)
    parts = segments(tape)
    del inputs, encoded, last, many
    held = [one for one in parts if one.phase == "cache"]
    return Stage("decode", step, dict(base), [one for one in parts if one.phase != "cache"], held)


def _step(program: Seq2Seq, tape: Tape, run: Run, encoded: Tensor | None) -> list[Tensor]:
    """One token of the decoder; what lives on is its scores."""
    ids = fresh(tape, (run.batch, 1), Format.INT64, "decoder's input ids")
    hidden = program.decode(tape, ids, encoded, run)
    read = program.prepared(hidden)
    logits = program.project_out(read)
    if run.beams > 1:
        scores(tape, run, program.spec.vocab)
    del hidden, read
    return [logits]


def _tape(one_sequence: bool, phase: str) -> Tape:
    tape = Tape(one_sequence, False)
    tape.grad_enabled = False
    tape.begin(phase, "embedding")
    return tape


def _held(tape: Tape, run: Run, hidden: int, fmt: Format) -> Tensor:
    return fresh(tape, (run.batch, run.source, hidden), fmt, "encoder's result")


def cache_report(spec: Seq2SeqSpec, run: Mapping[str, Any]) -> dict[str, Any]:
    """What a generation keeps for each of ``run``'s sequences. ``run``: bytes a value (``size``), ``source`` tokens of
    the encoder, ``target`` tokens written, ``batch`` and ``beams``."""

    def each(shape: tuple[tuple[int, int], tuple[int, int]]) -> int:
        return int(spec.layers * sum(heads * width for heads, width in shape) * run["size"] * run["beams"])

    own, cross = each(spec.cache_shape(0)), each(spec.cross_shape)
    return {
        "self_kv_bytes_per_token": own,
        "cross_kv_bytes_per_token": cross,
        "source_tokens": run["source"],
        "kv_bytes_per_sequence": own * run["target"] + cross * run["source"],
        "kv_tokens": (run["target"] + run["source"]) * run["batch"] * run["beams"],
    }
