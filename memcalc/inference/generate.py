"""A generation as a timeline: load, prefill, first and last decode step; or one forward pass.

Mirrors ``torch.no_grad`` generation with transformers' DynamicCache. Decode steps only grow, so the first
and the last are run and the last is the largest.
"""

from __future__ import annotations

from dataclasses import replace

from memcalc.architectures.decoder import Decoder
from memcalc.architectures.run import Cache, Run, at_most
from memcalc.formats import Format
from memcalc.stages import Stage
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Size, Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments


def forward_stages(program: Decoder, run: Run, weights: int, one_sequence: bool, one_token: bool) -> list[Stage]:
    """One forward pass without a cache that gives all logits."""
    tape = Tape(one_sequence, one_token)
    parts = _pass(program, replace(run, cache=None, training=False), tape, "forward")
    base = {"weights": weights}
    return [Stage("load", 0, base, [], []), Stage("forward", 1, base, parts, [])]


def generation_stages(
    program: Decoder, run: Run, weights: int, prompt: Size, new_tokens: Size, one_sequence: bool, one_token: bool
) -> list[Stage]:
    """Prefill of ``prompt`` tokens, then ``new_tokens`` - 1 decode steps."""
    base = {"weights": weights}
    tape = Tape(one_sequence, one_token)
    cache = Cache()
    prefill = _pass(program, replace(run, length=prompt, past=0, cache=cache, training=False), tape, "prefill")
    found = [Stage("load", 0, base, [], []), Stage("prefill", 1, base, prefill, [])]
    lengths: list[Size] = [prompt, prompt + new_tokens - 2]
    for step, past in enumerate(lengths, start=2):
        found.append(_decode_stage(program, run, base, prompt, past, one_sequence, step))
    return found


def _decode_stage(
    program: Decoder, run: Run, base: dict[str, Size], prompt: Size, past: Size, one_sequence: bool, step: int
) -> Stage:
    tape = Tape(one_sequence, True)
    tape.begin("cache", "prompt")
    prompt_ids = fresh(tape, (run.batch, prompt), Format.INT64, "prompt ids")
    prompt_mask = fresh(tape, (run.batch, prompt), Format.INT64, "prompt's padding mask") if run.padded else None
    cache = Cache()
    spec = program.spec
    for index, template in enumerate(program.plan):
        tape.begin("cache", template.label, template.repeat, template.group)
        window = spec.window(template.layer)
        # A sliding layer holds what the last step joined: the whole prompt at first, then one window.
        held = past if window is None or step == 2 else at_most(past, window)
        for store, (heads, width) in zip((cache.keys, cache.values), spec.cache_shape(template.layer), strict=True):
            one = fresh(tape, (run.batch, heads, held, width), run.compute, "cat (cache)")
            one.storage.record.component = "kv_cache"
            store[index] = one
            del one
    parts = _pass(program, replace(run, length=1, past=past, cache=cache, training=False), tape, "decode")
    del prompt_ids, prompt_mask
    held = [one for one in parts if one.phase == "cache"]
    return Stage("decode", step, base, [one for one in parts if one.phase != "cache"], held)


def _pass(program: Decoder, run: Run, tape: Tape, phase: str) -> list[Segment]:
    """One forward pass on ``tape``; returns all its segments."""
    tape.grad_enabled = False
    tape.begin(phase, "embedding")
    ids: Tensor = fresh(tape, (run.batch, run.length), Format.INT64, "input ids")
    logits = program.logits(tape, ids, run)
    parts = segments(tape)
    del logits
    return parts
