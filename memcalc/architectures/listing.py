"""A model's weights one by one, layer by layer: what formats with rules by layer and runtimes with layers on several
devices need. A new architecture plugs in by naming its tensors (``KINDS``)."""

from __future__ import annotations

from memcalc.architectures.program import Program
from memcalc.architectures.spec import places
from memcalc.quantisation.weight import Kind, Weight
from memcalc.tensors.tensor import Parameter

KINDS: dict[str, Kind] = {
    # the last part of a linear layer's name in the model code: what it does (llama.cpp's words)
    "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "out_proj": "attn_output",
    "qkv_proj": "attn_qkv", "query_key_value": "attn_qkv", "c_attn": "attn_qkv", "Wqkv": "attn_qkv",
    "attn.c_proj": "attn_output", "dense": "attn_output",
    "gate_proj": "ffn_gate", "up_proj": "ffn_up", "gate_up_proj": "ffn_up", "down_proj": "ffn_down",
    "c_fc": "ffn_up", "mlp.c_proj": "ffn_down", "dense_h_to_4h": "ffn_up", "dense_4h_to_h": "ffn_down",
    "gate": "ffn_gate_inp", "router": "ffn_gate_inp",
    "fc1": "ffn_up", "fc2": "ffn_down", "fc_in": "ffn_up", "fc_out": "ffn_down",
}  # fmt: skip


def listing(program: Program) -> list[Weight]:
    """Every weight of ``program``, with the layers that equal blocks stand for written out."""
    layers = places(program.plan)
    tables = {id(one) for one in program.embeddings()}
    found: list[Weight] = []
    for parameter in program.parameters:
        label, _, rest = parameter.name.partition(".")
        if label not in layers:
            found.append(_outside(program, parameter, tables))
            continue
        kind, rows, columns, copies = _inside(parameter, rest)
        found += [Weight(f"blk.{layer}.{rest}", kind, layer, rows, columns, copies) for layer in layers[label]]
    return found


def _outside(program: Program, parameter: Parameter, tables: set[int]) -> Weight:
    shape = parameter.shape
    if parameter is program.embeddings()[0]:
        return Weight("token_embd.weight", "token_embd", None, shape[0], shape[1])
    if parameter is program.output_weight:
        return Weight("output.weight", "output", None, shape[0], shape[1])
    if id(parameter) in tables:
        return Weight("position_embd.weight", "position_embd", None, shape[0], shape[1])
    if len(shape) == 1:
        return Weight(parameter.name, "bias" if parameter.name.endswith("bias") else "norm", None, 1, shape[0])
    rows, columns = _matrix(parameter)
    return Weight(parameter.name, "other", None, rows, columns)


def _inside(parameter: Parameter, rest: str) -> tuple[Kind, int, int, int]:
    """Kind, rows, columns, and how many equal matrices lie in one tensor (experts: the first of three dimensions)."""
    if len(parameter.shape) == 1:
        return "bias" if rest.endswith("bias") else "norm", 1, parameter.shape[0], 1
    path = rest.removesuffix(".weight")
    last = path.rpartition(".")[2]
    kind = next((KINDS[one] for one in (".".join(path.split(".")[-2:]), last) if one in KINDS), "other")
    if len(parameter.shape) == 3:
        count, first, second = parameter.shape
        return (kind, second, first, count) if parameter.transposed else (kind, first, second, count)
    return kind, *_matrix(parameter), 1


def _matrix(parameter: Parameter) -> tuple[int, int]:
    """(outputs, inputs); a Conv1D stores them the other way round."""
    first, *others = parameter.shape
    rest = 1
    for one in others:
        rest *= one
    return (rest, first) if parameter.transposed else (first, rest)
