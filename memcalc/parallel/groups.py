"""Parameters that are gathered and reduced together: one group a block, and one for the rest of the model.

This is how FSDP2 is applied everywhere (``fully_shard`` on every block, then on the model) and how transformers'
and torchtitan's recipes do it.
"""

from __future__ import annotations

from dataclasses import dataclass

from memcalc.architectures.program import Program
from memcalc.tensors.tensor import Parameter

ROOT = ""
"""The label of the group of everything outside the blocks: embeddings, final norm, head."""


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters wrapped together; ``repeat`` equal groups stand behind it. ``label`` is its section's on the tape."""

    label: str
    repeat: int
    parameters: tuple[Parameter, ...]

    @property
    def trained(self) -> tuple[Parameter, ...]:
        return tuple(one for one in self.parameters if one.trainable)


def groups(program: Program) -> dict[str, Group]:
    """The program's groups by label, blocks in order, the root last."""
    found = {}
    rest = list(program.parameters)
    for one in program.plan:
        mine = tuple(p for p in rest if p.name.startswith(f"{one.label}."))
        rest = [p for p in rest if not p.name.startswith(f"{one.label}.")]
        found[one.label] = Group(one.label, one.repeat, mine)
    found[ROOT] = Group(ROOT, 1, tuple(rest))
    return found
