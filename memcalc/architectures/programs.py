"""The program that runs each family."""

from __future__ import annotations

from memcalc.architectures.decoder import Decoder
from memcalc.architectures.gpt2 import Gpt2
from memcalc.architectures.llama import Llama

PROGRAMS: dict[str, type[Decoder]] = {"gpt2": Gpt2, "llama": Llama}
