"""SGD, Adagrad and RMSprop [torch 2.13 torch/optim/{sgd,adagrad,rmsprop}.py]; Lion and LAMB [pytorch_optimizer 4.1]."""

from __future__ import annotations

from memcalc.formats import Format
from memcalc.tensors.tape import Storage
from memcalc.training.optimizers.adaptive import decayed, lists
from memcalc.training.optimizers.tapes import Step


def sgd(step: Step) -> None:
    """A momentum_buffer a parameter with momentum, else nothing: the first step clones the gradient into it."""
    decays = bool(step.options.get("weight_decay"))
    momentum = bool(step.options.get("momentum"))
    if step.impl == "fused":
        if momentum:
            for slot in step.slots:
                step.keep(slot, "momentum_buffer")
        return
    if step.impl == "foreach":
        grads = decayed(step)
        if momentum:
            for slot in step.slots:
                step.keep(slot, "momentum_buffer")
        del grads
        return
    grad: Storage | None = None
    for slot in step.slots:
        grad = None
        grad = step.like(slot, "gradient plus weight decay") if decays else None
        if momentum:
            step.keep(slot, "momentum_buffer")
            grad = None  # grad = buf
    del grad


def sgd_momentum(step: Step) -> None:
    """SGD with momentum 0.9."""
    sgd(Step(step.tape, step.slots, {"momentum": 0.9, **step.options}, step.impl, step.number))


def adagrad_begin(step: Step) -> None:
    """Adagrad's sums exist from construction on."""
    for slot in step.slots:
        step.keep(slot, "sum")


def adagrad(step: Step) -> None:
    """A sum a parameter. foreach: square roots and scaled gradients, two lists; for-loop: the root of one tensor, the
    last one's beside it."""
    if step.impl == "foreach":
        grads = decayed(step)
        roots = lists(step, "square roots")
        scaled = grads or lists(step, "scaled gradients")
        del grads, roots, scaled
        return
    decays = bool(step.options.get("weight_decay"))
    grad = root = None
    for slot in step.slots:
        grad = None
        grad = step.like(slot, "gradient plus weight decay") if decays else None
        root = step.like(slot, "sqrt")
    del grad, root


def rmsprop(step: Step) -> None:
    """square_avg, momentum_buffer with momentum, grad_avg if centered. foreach: a list of square roots."""
    for slot in step.slots:
        step.keep(slot, "square_avg")
        if step.options.get("momentum"):
            step.keep(slot, "momentum_buffer")
        if step.options.get("centered"):
            step.keep(slot, "grad_avg")
    if step.impl == "foreach":
        grads = decayed(step)
        roots = lists(step, "square roots")
        del grads, roots
        return
    decays = bool(step.options.get("weight_decay"))
    grad = root = None
    for slot in step.slots:
        grad = None
        grad = step.like(slot, "gradient plus weight decay") if decays else None
        root = step.like(slot, "sqrt")
    del grad, root


def lion(step: Step) -> None:
    """One exp_avg a parameter. The signed update is a temporary: a list, or one tensor's and the last one's."""
    for slot in step.slots:
        step.keep(slot, "exp_avg")
    if step.impl == "foreach":
        lists(step, "updates")
        return
    update = None
    for slot in step.slots:
        update = step.like(slot, "update")
    del update


def lamb(step: Step) -> None:
    """exp_avg and exp_avg_sq, and three numbers a tensor for the trust ratio. foreach: a list of updates; the numbers
    are then views of three vectors, one number a tensor."""
    for slot in step.slots:
        step.keep(slot, "exp_avg")
        step.keep(slot, "exp_avg_sq")
    if step.impl == "foreach":
        updates = lists(step, "updates")
        count, slot = (len(step.slots),), step.slots[0]
        made = {}
        for name in ("weight_norm", "adam_norm"):
            norms = [step.fresh((1,), one.format, "norm") for one in step.slots]
            made[name] = step.made(name, count, slot.format)
            del norms
        beside = [step.fresh(count, Format.BOOL, "norms that are not zero") for _ in range(3)]
        beside += [step.fresh(count, slot.format, "quotient of the norms") for _ in range(2)]
        slot.state |= made | {"trust_ratio": step.made("trust_ratio", count, slot.format)}
        del updates, made, beside
        return
    for slot in step.slots:
        update = step.like(slot, "update")
        made = {name: step.made(name, (1,), slot.format) for name in ("weight_norm", "adam_norm")}
        sum_ = step.fresh((1,), slot.format, "norm plus epsilon")
        slot.state |= made | {"trust_ratio": step.made("trust_ratio", (1,), slot.format)}
        del update, made, sum_
