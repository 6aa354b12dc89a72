"""The weights that a serving runtime loads, in bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from memcalc.allocator.unsplit import end, sizes
from memcalc.architectures.listing import listing
from memcalc.quantisation import SAME, mixture_of
from memcalc.quantisation.gguf import tensor_bytes, types
from memcalc.question import Question
from memcalc.runtimes.gguf_file import traits_of
from memcalc.tensors.tensor import Parameter
from memcalc.training.standing import weight_bytes

FUSED = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "gate_proj": "gate_up_proj",
         "up_proj": "gate_up_proj"}  # fmt: skip
"""Linear layers that servers join into one [vllm model_executor/models/llama.py: packed_modules_mapping]."""
READ_GGUF = ("vllm", "sglang")
"""Servers built on torch that load a GGUF file's blocks as they are."""


def loaded_bytes(question: Question) -> int:
    """Bytes of all weights on the card, in the scenario's format, for the runtimes built on torch, with the ends of
    blocks that torch's allocator keeps with them."""
    program = question.program()
    mixture = mixture_of(question.scenario.inference.weights)
    if mixture is None:
        stored = question.model.stored
        inference = question.scenario.inference
        if stored is not None and inference.weights == SAME and inference.runtime in READ_GGUF:
            return sum(tensor_bytes(one, kind) for one, kind in stored.tensors)
        return weight_bytes(program) + fused_ends(program.parameters)
    spec = question.model.spec
    return sum(tensor_bytes(one, kind) for one, kind in types(listing(program), mixture, traits_of(spec)))


def fused_ends(parameters: Iterable[Parameter]) -> int:
    """What the weights' blocks hold beyond them, with queries, keys and values in one tensor, and gate and up.

    A published log of Qwen2.5-32B on two cards has 30.71 GiB of weights a card, 0.20 more than their values take: three
    of the four matrices of its 64 blocks end 1 MiB below a segment's end.
    """
    joined: dict[tuple[str, int, int], int] = defaultdict(int)
    for one in parameters:
        path, _, last = one.name.removesuffix(".weight").rpartition(".")
        for number, size in enumerate(sizes(one)):
            joined[f"{path}.{FUSED.get(last, one.name)}", number, one.repeat] += size
    return sum(repeat * end(size) for (_, _, repeat), size in joined.items())
