"""torch's optimizers with running averages [torch 2.13 torch/optim/{adam,adamw,nadam,radam,adamax,adadelta}.py].

``foreach`` works on lists of all tensors at once, so an intermediate is as large as all parameters; ``for-loop`` holds
intermediates of one tensor, and the last one's until Python rebinds the name; ``fused`` works in place.
"""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors.tape import Storage
from memcalc.training.optimizers.tapes import Step


def decayed(step: Step) -> list[Storage]:
    """``torch._foreach_add(grads, params, alpha=weight_decay)``: gradients plus L2 decay, for all tensors at once."""
    if not step.options.get("weight_decay"):
        return []
    return [step.like(slot, "gradients plus weight decay") for slot in step.slots]


def lists(step: Step, op: str) -> list[Storage]:
    """One temporary for every tensor, all at once."""
    return [step.like(slot, op) for slot in step.slots]


def adam(step: Step, decoupled: bool = False) -> None:
    """exp_avg and exp_avg_sq (and max_exp_avg_sq): 2 (3) values a parameter; fused keeps a counter on the GPU.

    foreach: one list of square roots. for-loop: the root and the denominator of one tensor, the last one's beside it.
    """
    for slot in step.slots:
        if step.impl == "fused":
            step.keep(slot, "step", (1,), Format.FP32)
        step.keep(slot, "exp_avg")
        step.keep(slot, "exp_avg_sq")
        if step.options.get("amsgrad"):
            step.keep(slot, "max_exp_avg_sq")
    decays = bool(step.options.get("weight_decay")) and not decoupled
    if step.impl == "foreach":
        grads = decayed(step) if decays else []
        del grads
        lists(step, "square roots of the second moments")
    elif step.impl == "for-loop":
        grad = denominator = None
        for slot in step.slots:
            grad = None  # grad = grads[i]
            grad = step.like(slot, "gradient plus weight decay") if decays else None
            root = step.like(slot, "sqrt")
            denominator = step.like(slot, "denominator")
            del root
        del grad, denominator


def adamw(step: Step) -> None:
    """Adam with decoupled weight decay: the decay is applied in place."""
    adam(step, decoupled=True)


def nadam(step: Step) -> None:
    """exp_avg and exp_avg_sq; ``mu_product`` stays on the host. As Adam, for-loop: a quotient and its root."""
    for slot in step.slots:
        step.keep(slot, "exp_avg")
        step.keep(slot, "exp_avg_sq")
    decays = bool(step.options.get("weight_decay"))
    if step.impl == "foreach":
        grads = decayed(step)
        roots = lists(step, "square roots of the second moments")
        del grads, roots
        return
    grad = denominator = None
    for slot in step.slots:
        grad = None
        grad = step.like(slot, "gradient plus weight decay") if decays else None
        quotient = step.like(slot, "div")
        denominator = step.like(slot, "denominator")
        del quotient
    del grad, denominator


def radam(step: Step) -> None:
    """exp_avg and exp_avg_sq. foreach: one list (square roots). for-loop, once the variance is tractable (from the
    sixth step on): the corrected average, its product with the rate, a root and its reciprocal."""
    for slot in step.slots:
        step.keep(slot, "exp_avg")
        step.keep(slot, "exp_avg_sq")
    decays = bool(step.options.get("weight_decay"))
    if step.impl == "foreach":
        grads = decayed(step)
        del grads
        lists(step, "square roots of the second moments")
        return
    grad = corrected = None
    for slot in step.slots:
        grad = None
        grad = step.like(slot, "gradient plus weight decay") if decays else None
        corrected = step.like(slot, "corrected average")
        scaled = step.like(slot, "mul")
        if step.number > 1:
            root = step.like(slot, "sqrt")
            inverse = step.like(slot, "div")
            del root
            product = step.like(slot, "mul")
            del scaled, inverse
            scaled = step.like(slot, "mul")
            del product
        del scaled
    del grad, corrected


def adamax(step: Step) -> None:
    """exp_avg and exp_inf. foreach: one list (absolute gradients); for-loop: one tensor's."""
    for slot in step.slots:
        step.keep(slot, "exp_avg")
        step.keep(slot, "exp_inf")
    decays = bool(step.options.get("weight_decay"))
    if step.impl == "foreach":
        lists(step, "gradients plus weight decay" if decays else "absolute gradients")
        return
    grad = None
    for slot in step.slots:
        grad = None
        grad = step.like(slot, "gradient plus weight decay") if decays else None
        absolute = step.like(slot, "absolute gradient")
        del absolute
    del grad


def adadelta(step: Step) -> None:
    """square_avg and acc_delta. Standard deviations and updates: two lists, or two of one tensor and of the last."""
    for slot in step.slots:
        step.keep(slot, "square_avg")
        step.keep(slot, "acc_delta")
    if step.impl == "foreach":
        grads = decayed(step)
        deviations = lists(step, "standard deviations")
        updates = lists(step, "updates")
        del grads, deviations, updates
        return
    decays = bool(step.options.get("weight_decay"))
    grad = deviation = update = None
    for slot in step.slots:
        grad = None
        grad = step.like(slot, "gradient plus weight decay") if decays else None
        deviation = step.like(slot, "standard deviation")
        update = step.like(slot, "update")
    del grad, deviation, update
