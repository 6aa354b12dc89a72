"""RWKV-4's recurrence over keys and values, token by token in Python, as transformers computes it without the kernel of
the hub.

Mirrors ``rwkv_linear_attention_cpu`` of transformers 5.23 models/rwkv/modeling_rwkv.py.
"""

from __future__ import annotations

from memcalc.architectures.tokens import FIRST, grown, shown, skipped
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops import scan, slices
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.ops.pairs import maximum
from memcalc.tensors.tape import Size
from memcalc.tensors.tensor import Parameter, Tensor

WIDE = Format.FP32


def recurrence(
    key: Tensor, value: Tensor, decay: Parameter, bonus: Parameter, states: list[Tensor] | None, tokens: Size
) -> tuple[Tensor, list[Tensor]]:
    """Keys and values (batch, tokens, channels), decay and bonus (channels,): results of their shape, and the last
    numerator, denominator and largest exponent (batch, channels) of the weighted mean, in fp32. ``states``: those to
    begin from, if there are any."""
    tape, row = key.tape, (key.shape[0], key.shape[2])
    out = fresh(tape, key.shape, key.format, "zeros_like")
    if states is None:
        states = [fresh(tape, row, WIDE, "zeros_like") for _ in range(2)]
        zeros = fresh(tape, row, WIDE, "zeros_like")
        states.append(fresh(tape, row, WIDE, "sub"))
        del zeros
    num, den, top = states
    del states
    rate = ops.neg(scan.exp_plain(decay, key))
    enabled, runs = tape.grad_enabled, shown(tokens)
    for i in range(runs):
        start = len(tape.events)
        k = ops.to(slices.select(key, row), WIDE)
        v = slices.select(value, row)
        top_out = maximum(top, ops.add(k, bonus))
        e1 = scan.exp(ops.sub(top, top_out))
        e2 = scan.exp(ops.sub(ops.add(k, bonus), top_out))
        numerator = ops.add(ops.mul(e1, num), ops.mul(e2, v))
        denominator = ops.add(ops.mul(e1, den), e2)
        out = slices.write_slice(out, ops.to(ops.div(numerator, denominator), out.format))
        tape.grad_enabled = enabled and i < runs - 1  # nothing asks for the gradient of the last state: its nodes go
        top_state = maximum(ops.add(top, rate), k)
        e1 = scan.exp(ops.sub(ops.add(top, rate), top_state))
        e2 = scan.exp(ops.sub(k, top_state))
        num = ops.add(ops.mul(e1, num), ops.mul(e2, v))
        den = ops.add(ops.mul(e1, den), e2)
        top = top_state
        tape.grad_enabled = enabled
        if i == FIRST - 1 and tokens > runs and enabled:  # without gradients nothing grows with the tokens
            num, den, top = skipped((num, den, top), tokens - runs, grown(tape, start))
            del top_state
    return out, [num, den, top]
