"""A generation as a timeline: load, prefill, first and last decode step; or one forward pass.

Mirrors ``torch.no_grad`` generation with transformers' DynamicCache (or another cache). Decode steps only grow, so the
first and the last are run and the last is the largest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from memcalc.architectures.decoder import Decoder
from memcalc.architectures.program import Program
from memcalc.architectures.run import Run
from memcalc.formats import Format
from memcalc.inference.caches import cache_for
from memcalc.stages import Stage
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments

Base = Mapping[str, Size]
"""Bytes that live all the time, by component: weights, and the buffers of quantised kernels."""


def forward_stages(program: Program, run: Run, base: Base, one_sequence: bool, one_token: bool) -> list[Stage]:
    """One forward pass without a cache that gives all outputs."""
    tape = Tape(one_sequence, one_token)
    tape.grad_enabled = False
    tape.begin("forward", "embedding")
    run = replace(run, cache=None, training=False)
    inputs = program.inputs(tape, run)
    outputs = program.outputs(tape, inputs, run)
    parts = segments(tape)
    del inputs, outputs
    return [Stage("load", 0, dict(base), [], []), Stage("forward", 1, dict(base), parts, [])]


def generation_stages(
    program: Decoder,
    run: Run,
    base: Base,
    prompt: Size,
    new_tokens: Size,
    one_sequence: bool,
    one_token: bool,
    store: str = "same",
) -> list[Stage]:
    """Prefill of ``prompt`` tokens, then ``new_tokens`` - 1 decode steps. ``store``: how the cache is kept."""
    tape = Tape(one_sequence, one_token)
    capacity = prompt + new_tokens - 1
    cache = cache_for(store, prompt, capacity)
    prefill = _pass(program, replace(run, length=prompt, past=0, cache=cache, training=False), tape, "prefill")
    found = [Stage("load", 0, dict(base), [], []), Stage("prefill", 1, dict(base), prefill, [])]
    lengths: list[Size] = [prompt, prompt + new_tokens - 2]
    for step, past in enumerate(lengths, start=2):
        one = replace(run, length=1, past=past, cache=cache_for(store, prompt, capacity), training=False)
        found.append(_decode_stage(program, one, base, prompt, one_sequence, step))
    return found


def _decode_stage(program: Decoder, run: Run, base: Base, prompt: Size, one_sequence: bool, step: int) -> Stage:
    tape = Tape(one_sequence, True)
    tape.grad_enabled = False
    tape.begin("cache", "prompt")
    prompt_ids = fresh(tape, (run.batch, prompt), Format.INT64, "prompt ids")
    prompt_mask = fresh(tape, (run.batch, prompt), Format.INT64, "prompt's padding mask") if run.padded else None
    program.fill_cache(tape, run, step == 2)
    parts = _pass(program, run, tape, "decode")
    del prompt_ids, prompt_mask
    held = [one for one in parts if one.phase == "cache"]
    return Stage("decode", step, dict(base), [one for one in parts if one.phase != "cache"], held)


def _pass(program: Decoder, run: Run, tape: Tape, phase: str) -> list[Segment]:
    """One forward pass on ``tape``; returns all its segments."""
    tape.grad_enabled = False
    tape.begin(phase, "embedding")
    ids: Tensor = fresh(tape, (run.batch, run.length), Format.INT64, "input ids")
    logits = program.logits(tape, ids, run)
    if run.beams > 1:
        scores(tape, run, program.spec.vocab)
    parts = segments(tape)
    del logits
    return parts


def scores(tape: Tape, run: Run, vocab: int) -> None:
    """Beam search's own: the last logits in fp32, their log-softmax, and that with the beams' scores added
    [transformers 5.23 generation/utils.py: _beam_search]."""
    held = [fresh(tape, (run.batch, vocab), Format.FP32, "beam scores") for _ in range(3)]
    del held
