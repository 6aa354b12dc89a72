"""The weights that a serving runtime loads: bytes and what to say about them."""

from __future__ import annotations

from memcalc.architectures.listing import listing
from memcalc.quantisation import mixture_of
from memcalc.quantisation.gguf import tensor_bytes, types
from memcalc.question import Question
from memcalc.runtimes.gguf_file import traits_of
from memcalc.training.standing import weight_bytes


def loaded_bytes(question: Question) -> int:
    """Bytes of all weights on the card, in the scenario's format, for the runtimes built on torch."""
    program = question.program()
    mixture = mixture_of(question.scenario.inference.weights)
    if mixture is None:
        return weight_bytes(program)
    spec = question.model.spec
    return sum(tensor_bytes(one, kind) for one, kind in types(listing(program), mixture, traits_of(spec)))
