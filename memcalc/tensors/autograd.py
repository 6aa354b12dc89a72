"""Backward, derived once for every program: what torch's engine keeps, frees and adds up.

An operator says what it keeps and how its gradients are made; the engine walks the nodes in reverse
order of creation (torch runs the ready node with the highest sequence number, which is the same),
frees what a node kept once it has run, and gathers gradients where a tensor was used more than once:
in place, unless the first one is a view, whose base torch keeps alive and therefore copies
[torch/csrc/autograd/input_buffer.cpp, can_accumulate_inplace].
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from memcalc.formats import Format
from memcalc.tensors.tape import Storage, Tape
from memcalc.tensors.tensor import Parameter, Shape, Tensor

Backward = Callable[..., "list[Tensor | None]"]
Source = Tensor | Parameter


class Edge:
    """Where a gradient goes: a node's slot or a parameter, and the shape and format it must have there.

    ``spread``: the input was spread over the output, and the operator leaves it to the engine to sum its gradient."""

    __slots__ = ("format", "shape", "slot", "spread", "target")

    def __init__(self, source: Source) -> None:
        self.shape = source.shape
        self.format = source.format
        self.slot = 0
        self.spread = False
        self.target: Node | Parameter
        if isinstance(source, Parameter):
            self.target = source
            source.uses += 1
        else:
            assert source.node is not None
            self.target = source.node
            self.slot = source.slot


class Node:
    """One operator in the graph: its edges to the inputs that need gradients, and what it keeps."""

    __slots__ = ("away", "backward", "checkpoint", "edges", "grads", "kept", "section")

    def __init__(self, edges: list[Edge], backward: Backward, slots: int, section: int) -> None:
        self.edges = edges
        self.backward = backward
        self.kept: list[Storage] = []
        self.away: list[tuple[Shape, Format]] = []  # kept in the computer's memory
        self.checkpoint: tuple[Checkpoint, int, int] | None = None
        self.grads: list[Tensor | None] | None = [None] * slots if slots > 1 else None
        self.section = section

    def receive(self, slot: int, grad: Tensor) -> None:
        if self.grads is None:
            self.grads = [grad]
        else:
            self.grads[slot] = gathered(self.grads[slot], grad)


class Leaf(Node):
    """The end of the graph at an activation; autocast caches its copy of one, as of a trained weight."""

    __slots__ = ()


def gathered(first: Tensor | None, second: Tensor) -> Tensor:
    """Two gradients of one tensor as one."""
    if first is None:
        return second
    if first.is_view:
        return Tensor(first.tape.storage(first.shape, first.format, "add (gradients)"), first.shape, first.format)
    return first


class Recording:
    """While a block is checkpointed, operators hand over what they would keep; only a count remains."""

    replays = False

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    def result(self, made: Storage) -> None:
        """A result that is kept instead of computed again."""
        _mark_kept(made)
        self.checkpoint.results.setdefault(made.record.op, deque()).append(made)

    def keep(self, node: Node, storages: Sequence[Storage | None]) -> None:
        start = node.checkpoint[1] if node.checkpoint else self.checkpoint.count
        self.checkpoint.count += len(storages)
        node.checkpoint = (self.checkpoint, start, self.checkpoint.count)


class _Stop(Exception):
    """Everything a checkpointed block had kept has been computed again."""


class Replaying:
    """While a block is computed again, what its operators keep is collected until it is complete."""

    replays = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.wanted = checkpoint.count
        self.results = checkpoint.results
        self.kept: list[Storage | None] = []

    def keep(self, node: Node, storages: Sequence[Storage | None]) -> None:
        self.kept.extend(storages)  # computed for a moment: they count as temporary
        if len(self.kept) >= self.wanted:
            raise _Stop


Recomputation = Recording | Replaying


SELECTED = frozenset(
    [
        "mm", "bmm", "baddbmm", "flash attention", "efficient attention", "logsumexp", "rng state",
    ]
)  # fmt: skip
"""Operators whose results ``selective-ops`` keeps: matrix products, and all results of the attention kernels."""


def result(tape: Tape, shape: Shape, fmt: Format, op: str) -> Storage:
    """Where ``op`` puts its result: a new storage, unless a block is computed again that kept the first one
    [torch 2.13 torch/utils/checkpoint.py, create_selective_checkpoint_contexts]."""
    saving = tape.saving
    if saving is None or not tape.selective or op not in SELECTED:
        return tape.storage(shape, fmt, op)
    if isinstance(saving, Replaying):
        return saving.results[op].popleft()
    made = tape.storage(shape, fmt, op)
    saving.result(made)
    return made


class Checkpoint:
    """torch.utils.checkpoint (non-reentrant, as transformers uses it): the inputs are kept, the rest
    is computed again when backward first asks for any of it, and no further than needed. ``results``: those of
    selected operators, which are kept too; what is not asked for again stays until the block's last node has run."""

    def __init__(self, run: Callable[[], Tensor], inputs: Sequence[Tensor], autocast: Format | None) -> None:
        self.run = run
        self.results: dict[str, deque[Storage]] = {}
        self.inputs = [one.storage for one in inputs]
        for storage in self.inputs:
            _mark_kept(storage)
        self.autocast = autocast
        self.count = 0
        self.kept: list[Storage | None] | None = None

    def unpack(self, tape: Tape, start: int, stop: int) -> list[Storage]:
        if self.kept is None:
            replay = Replaying(self)
            tape.saving, tape.grad_enabled = replay, True
            tape.autocast = Autocast(self.autocast) if self.autocast else None
            try:
                self.run()
            except _Stop:
                pass
            finally:
                tape.saving, tape.grad_enabled, tape.autocast = None, False, None
            self.kept = replay.kept
        kept, self.kept[start:stop] = self.kept[start:stop], [None] * (stop - start)
        return [one for one in kept if one is not None]


def checkpointed(tape: Tape, run: Callable[[], Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """``run()`` with only ``inputs`` kept for backward, which calls it again."""
    checkpoint = Checkpoint(run, inputs, tape.autocast.format if tape.autocast else None)
    tape.saving = Recording(checkpoint)
    try:
        return run()
    finally:
        tape.saving = None


class Autocast:
    """torch.autocast: the format it computes in, and its cache of cast leaves of the graph (weights, above all), which
    lives until it ends."""

    def __init__(self, fmt: Format) -> None:
        self.format = fmt
        self.cache: dict[Parameter | Leaf, Tensor] = {}


def _mark_kept(storage: Storage) -> None:
    record = storage.record
    if record.component == "temporary" and not record.fixed:
        record.component = "activations"


def operator(
    tape: Tape,
    op: str,
    inputs: Sequence[Source],
    shape: Shape,
    fmt: Format,
    backward: Backward,
    keeps: Sequence[Tensor] = (),
    keeps_output: bool = False,
    weights: Sequence[Parameter] = (),
) -> Tensor:
    """Run one operator: keep what it needs of its inputs, allocate its output, keep that if it must.

    ``backward`` takes the gradient of the output and returns one for each input that needs it, in
    order; it may close over shapes and formats only, never over a tensor. ``weights``: the parameters that it
    keeps.
    """
    node = graph_node(tape, inputs, backward)
    if node is not None and weights:
        keep_weights(tape, node, weights)
    if node is not None and keeps:
        keep(tape, node, keeps)
    out = Tensor(result(tape, shape, fmt, op), shape, fmt, node)
    if node is not None and keeps_output:
        keep(tape, node, (out,))
    return out


def graph_node(tape: Tape, inputs: Sequence[Source], backward: Backward, slots: int = 1) -> Node | None:
    """A node with an edge to every input that needs a gradient; None where none does."""
    if not tape.grad_enabled:
        return None
    replaying = tape.saving is not None and tape.saving.replays
    needing = [one for one in inputs if one.needs_grad]
    if not needing:
        return None
    # A block computed again only fills the kept list of the first graph; its own graph is dropped.
    edges = [] if replaying else [Edge(one) for one in needing]
    node = Node(edges, backward, slots, len(tape.sections) - 1)
    if not replaying:
        tape.nodes.append(node)
    return node


def graph_leaf(tape: Tape) -> Node | None:
    """The end of the graph for an activation that is made to need a gradient (``requires_grad_()``)."""
    if not tape.grad_enabled:
        return None
    node = Leaf([], lambda grad: [], 1, len(tape.sections) - 1)
    tape.nodes.append(node)
    return node


def lasting_leaf(tape: Tape, x: Tensor) -> None:
    """Make ``x`` need a gradient that nobody asked for: it and its gradient live as long as the graph."""
    if not tape.grad_enabled:
        return

    def backward(grad: Tensor) -> list[Tensor | None]:
        tape.strays.append(grad)
        return []

    x.node = Leaf([], backward, 1, len(tape.sections) - 1)
    tape.nodes.append(x.node)
    if tape.saving is None or not tape.saving.replays:
        tape.strays.append(x.detach())


def keep(tape: Tape, node: Node, tensors: Sequence[Tensor]) -> None:
    """Hold the storages of ``tensors`` until ``node`` has run backward."""
    storages = [one.storage for one in tensors]
    if tape.saving is not None:
        tape.saving.keep(node, storages)
        return
    if tape.offload:  # copied to the computer's memory, one by one: nothing of them stays [save_on_cpu]
        node.away += [(one.shape, one.format) for one in tensors]
        return
    for storage in storages:
        _mark_kept(storage)
    node.kept.extend(storages)


def keep_weights(tape: Tape, node: Node, weights: Sequence[Parameter]) -> None:
    """Keep parameters for ``node``. They live anyway; but a checkpointed block is computed again for them too, and
    offloading makes a copy of them like of anything else."""
    if tape.saving is not None:
        tape.saving.keep(node, [None] * len(weights))
    elif tape.offload:
        node.away += [(one.shape, one.format) for one in weights]


def backward(tape: Tape, loss: Tensor, phase: str = "backward") -> None:
    """Run the graph of ``loss`` backward, section by section."""
    assert loss.node is not None
    root = Tensor(tape.storage(loss.shape, loss.format, "ones_like"), loss.shape, loss.format)
    loss.node.receive(0, root)
    tape.grad_enabled = False
    current: int | None = None
    nodes = tape.nodes
    while nodes:
        node = nodes.pop()
        if node.grads is None or not any(node.grads):
            continue
        if node.section != current:
            current = node.section
            section = tape.sections[current]
            tape.begin(phase, section.label, section.repeat, section.group)
        _run(tape, node)
    if tape.strays:  # they go with the graph
        tape.begin(phase, "graph")
        tape.strays.clear()
    del root  # the caller of torch's engine holds the first gradient to the end
    tape.grad_enabled = True


def _run(tape: Tape, node: Node) -> None:
    if node.checkpoint is not None:
        frame, start, stop = node.checkpoint
        node.kept = frame.unpack(tape, start, stop)
        del frame
    grads, node.grads = node.grads, None
    assert grads is not None
    returned = [tape.storage(shape, fmt, "copy from the host") for shape, fmt in node.away]
    if returned:
        node.kept = returned  # a formula that writes its results over what was kept writes over the copies
    outs = node.backward(*grads)
    returned.clear()
    if node.checkpoint is not None:  # what was computed again is only held by the formula that unpacked it
        node.kept = []
    for i, edge in enumerate(node.edges):
        fitted = outs[i]
        if fitted is not None:
            outs[i] = _fit(tape, fitted, edge)
    fitted = None
    del grads
    node.kept = []
    node.checkpoint = None
    for i, edge in enumerate(node.edges):
        out, outs[i] = outs[i], None
        if out is None:
            continue
        target = edge.target
        if isinstance(target, Parameter):
            _deliver(target, out)
        else:
            target.receive(edge.slot, out)
        out = None
    node.edges = []


def _fit(tape: Tape, grad: Tensor, edge: Edge) -> Tensor:
    """The gradient in the format of the input that it belongs to [torch/csrc/autograd/engine.cpp,
    validate_outputs]."""
    if edge.spread:
        grad = Tensor(tape.storage(edge.shape, grad.format, "sum (gradient)"), edge.shape, grad.format)
    if grad.format is edge.format:
        return grad
    return Tensor(tape.storage(grad.shape, edge.format, "to (gradient)"), grad.shape, edge.format)


def _deliver(parameter: Parameter, grad: Tensor) -> None:
    """torch's AccumulateGrad: wait for every use, then take the gradient over or add it in place."""
    parameter.buffer = gathered(parameter.buffer, grad)
    parameter.uses -= 1
    if parameter.uses:
        return
    whole, parameter.buffer = parameter.buffer, None
    del grad
    if parameter.stray:
        assert whole is not None
        whole.tape.strays.append(whole)
        return
    if parameter.grad is None:
        assert whole is not None
        if parameter.reordered:
            whole = Tensor(
                whole.tape.storage(whole.shape, whole.format, "new_empty_strided"), whole.shape, whole.format
            )
        whole.storage.record.component = "gradients"
        whole.storage.record.name = parameter.name
        parameter.grad = Tensor(whole.storage, parameter.shape, parameter.format)
    if parameter.grad.tape.watch is not None:
        del whole
        parameter.grad.tape.watch.delivered(parameter.grad.tape, parameter)
