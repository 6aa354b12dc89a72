"""A checkpoint whose weights were quantised before it was published."""

from __future__ import annotations

from dataclasses import dataclass, field

from memcalc.quantisation.modules import Modules


@dataclass(frozen=True, slots=True)
class Published:
    """How a checkpoint's weights are stored, as its ``quantization_config`` says.

    ``method`` is the config's own word; ``weights`` the scenario's word for the format, None where there is no program
    for it, and then ``refusal`` says why. ``kept``: modules left in 16 bits; ``only``: if given, all others are left as
    well; ``head``: the output head is quantised too. ``notes``: what else there is to say.
    """

    method: str
    weights: str | None
    refusal: str = ""
    kept: Modules = field(default_factory=Modules)
    only: Modules | None = None
    head: bool = False
    notes: tuple[str, ...] = ()

    def leaves(self, module: str) -> bool:
        """Whether ``module``, which is in no layer, is left as it is."""
        return self.kept.has(module) or (self.only is not None and not self.only.has(module))

    @property
    def leaves_more(self) -> bool:
        """Whether it leaves more as it is than the head."""
        return self.only is not None or any(one != "lm_head" for one in self.kept.entries)

    @property
    def trains(self) -> bool:
        """Whether adapters can be trained over it as it is: QLoRA's 4 bits."""
        return self.method == "bitsandbytes" and self.weights is not None and self.weights != "int8"
