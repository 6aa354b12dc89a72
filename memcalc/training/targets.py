"""Which layers adapters go to, and what PEFT cannot adapt."""

from __future__ import annotations

from collections.abc import Mapping

from memcalc.architectures.layers import Lora
from memcalc.architectures.programs import PROGRAMS
from memcalc.architectures.spec import ModelSpec
from memcalc.errors import ScenarioError
from memcalc.scenario import LoraSettings


def targets_of(settings: LoraSettings, spec: ModelSpec) -> tuple[str, ...] | None:
    """The linear layers to adapt (None: all)."""
    program = PROGRAMS[spec.family]
    known = [*dict.fromkeys((*program.linear_names, *getattr(program, "expert_names", {})))]
    if settings.targets == "all-linear":
        return None
    if settings.targets is None:
        return program.peft_targets or None  # where PEFT knows no usual ones it asks; all-linear suits every model
    for one in settings.targets:
        if one in ("lm_head", "embed_out", "embed_tokens", "wte", "embed_in", "word_embeddings"):
            raise ScenarioError(
                f"adapters on {one} (embedding or output layer) have no program yet",
                "training.lora.targets",
                [*known, "all-linear"],
            )
        if one not in known:
            raise ScenarioError(
                f"the model has no linear layer called {one[:60]!r}",
                "training.lora.targets",
                [*known, "all-linear"],
            )
    return tuple(settings.targets)


def refuse_unadaptable(lora: Lora, names: Mapping[str, str]) -> None:
    """Refuse what PEFT refuses for parameters that are no linear layers' [peft 0.21, ParamWrapper].

    ``names``: targets that lie in such parameters, and in which."""
    wanted = [name for name in names if lora.wants(name)]
    if not wanted:
        return
    for name, parameter in names.items():
        if name not in wanted and any(names[one] == parameter for one in wanted):
            raise ScenarioError(
                f"{name} is needed too: {parameter} holds it and what was targeted",
                "training.lora.targets",
                list(names),
            )
    if lora.dropout:
        raise ScenarioError(
            f"PEFT has no dropout for adapters of experts or routers ({', '.join(wanted)}): set it to 0, or target "
            "attention only",
            "training.lora.dropout",
            [0.0],
        )
    if lora.magnitudes:
        raise ScenarioError(
            f"PEFT has no DoRA for experts or routers ({', '.join(wanted)}): target attention only",
            "training.lora.targets",
        )
