"""Optimizers for the matrices of the blocks: Muon, GaLore, APOLLO; AdamW for the rest.

Muon: torch 2.13 torch/optim/_muon.py. GaLore: galore_torch 1.0 adamw.py, galore_projector.py. APOLLO: apollo_torch
1.0.3 apollo.py, random_projector.py. All three traced.
"""

from __future__ import annotations

from dataclasses import replace

from memcalc.formats import Format
from memcalc.tensors.tape import Storage
from memcalc.training.optimizers.adaptive import adamw
from memcalc.training.optimizers.tapes import Slot, Step

NEWTON_SCHULZ_STEPS = 5
"""torch.optim.Muon's default ``ns_steps``."""
RANK = 128
"""The rank of GaLore and APOLLO where the scenario names none; both projects' examples use 128 to 1024."""


def muon(step: Step) -> None:
    """A momentum_buffer for each matrix of the blocks; AdamW's states (stepped afterwards) for everything else."""
    matrices = [slot for slot in step.slots if slot.is_hidden_matrix]
    for slot in matrices:
        step.keep(slot, "momentum_buffer")
    update: Storage | None = None
    for slot in matrices:
        update = step.like(slot, "update")
        update = _orthogonalised(step, slot, update)
    del update
    rest = [slot for slot in step.slots if not slot.is_hidden_matrix]
    adamw(replace(step, slots=rest))


def _orthogonalised(step: Step, slot: Slot, update: Storage) -> Storage:
    """Newton-Schulz in bf16: the matrix, and two Gram matrices of its smaller side at a time."""
    bf16 = Format.BF16
    side = min(slot.shape)
    ortho = update if slot.format is bf16 else step.like(slot, "bf16 copy", bf16)
    gram = gram_update = None
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = step.fresh((side, side), bf16, "Gram matrix")
        gram_update = step.fresh((side, side), bf16, "Gram matrix")
        ortho = step.like(slot, "orthogonalised update", bf16)
    del gram, gram_update
    return ortho


def galore(step: Step) -> None:
    """Adam in a space of ``rank``: for an m x n matrix with m >= n a projector (rank, n) and two moments (m, rank); for
    m < n a projector (m, rank) and moments (rank, n). The first step (and every 200th) takes an fp32 singular value
    decomposition: U, S and V of the whole matrix [GaLoreProjector.get_orthogonal_matrix]. Others: plain AdamW.
    """
    _low_rank(step, decomposes=True)


def apollo(step: Step) -> None:
    """The same states with a random projector; the update is the gradient itself, scaled by channel. Each matrix also
    keeps the norm of its last update."""
    _low_rank(step, decomposes=False)


def _low_rank(step: Step, decomposes: bool) -> None:
    wanted = int(step.options.get("rank") or RANK)
    grad = root = normed = scaled = factor = norm = limiter = None
    # The parameter groups: plain ones first, as the projects' examples pass them.
    plain = [slot for slot in step.slots if not slot.is_hidden_matrix]
    for slot in plain + [slot for slot in step.slots if slot.is_hidden_matrix]:
        low, grad = slot.shape, None
        projected = slot.is_hidden_matrix
        if projected:
            m, n = slot.shape
            rank = min(wanted, m, n) if decomposes else wanted  # a random matrix can have more rows than there are
            low = (m, rank) if m >= n else (rank, n)
            side = (rank, n) if m >= n else (m, rank)
            if "projector" not in slot.state:
                _project(step, slot, side, decomposes)
            grad = step.fresh(low, slot.format, "projected gradient")
        step.keep(slot, "exp_avg", low)
        step.keep(slot, "exp_avg_sq", low)
        root = step.fresh(low, slot.format, "denominator")
        normed = step.fresh(low, slot.format, "normalised gradient")
        if projected and decomposes:
            whole = step.like(slot, "projected back")
            normed = step.like(slot, "projected back, scaled")
            del whole
        elif projected:
            parts = [step.fresh((max(slot.shape),), slot.format, "norm of each channel") for _ in range(3)]
            factor = step.fresh((max(slot.shape),), slot.format, "scale of each channel")
            del parts
            scaled = step.like(slot, "scaled gradient")
            if step.number > 1:
                norm = step.fresh((1,), slot.format, "norm")
                parts = [step.fresh((1,), slot.format, "growth of the norm") for _ in range(2)]
                limiter = step.fresh((1,), slot.format, "limiter")
                del parts
                scaled = step.like(slot, "limited gradient")
            step.renew(slot, "scaled_grad", (1,), slot.format)
            normed = scaled
    del grad, root, normed, scaled, factor, norm, limiter


def _project(step: Step, slot: Slot, side: tuple[int, ...], decomposes: bool) -> None:
    """Make the projector. The decomposition's own workspace (cuSOLVER) is not seen and not counted."""
    wide = Format.FP32
    half = slot.format.is_half
    copy = step.like(slot, "fp32 copy", wide) if half else None
    if decomposes:
        m, n = slot.shape
        k = min(m, n)
        u, v = (m, k), (k, n)
        used, unused = (v, u) if m >= n else (u, v)
        shapes = ((k,), unused, used) if half else ((k,), unused)
        parts = [step.fresh(one, wide, "singular value decomposition") for one in shapes]
        if not half:  # the projector is a view of U or V, all of which stays
            step.keep(slot, "projector", used)
        # The other factor is multiplied out too, though nothing uses it.
        rank = min(side)
        other = (m, rank) if m >= n else (rank, n)
        diagonal = step.fresh((rank, rank), wide, "diagonal")
        product = step.fresh(other, wide, "other factor")
        del diagonal
        if half:
            step.keep(slot, "projector", side)
        del parts, product
    else:
        drawn = step.fresh(side, wide, "random matrix")
        if half:
            scaled = step.fresh(side, wide, "random matrix, scaled")
            del drawn
            step.keep(slot, "projector", side)
            del scaled
        else:
            step.keep(slot, "projector", side)
            del drawn
    del copy
