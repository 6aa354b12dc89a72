"""compressed-tensors (LLM Compressor) and modelopt (NVIDIA): groups of layers, each with the format of its weights."""

from __future__ import annotations

from collections.abc import Mapping

from memcalc.models.quantised.entry import Entry, Unknown, listed
from memcalc.models.reader import shown
from memcalc.quantisation.modules import Modules, modules
from memcalc.quantisation.published import Published


def compressed_tensors(entry: Entry) -> Published:
    """``config_groups`` of one format, ``targets``, ``ignore`` [compressed-tensors quantization/quant_config.py].

    ``Linear`` as a target is every linear layer, the head included unless it is ignored."""
    if entry.any("sparsity_config") and not _dense(entry.raw["sparsity_config"]):
        raise Unknown("it is sparse as well")
    groups = entry.raw.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        raise Unknown("config_groups says nothing")
    formats: set[str] = set()
    targets: list[str] = []
    for one in groups.values():
        if not isinstance(one, Mapping) or not isinstance(one.get("weights"), Mapping):
            raise Unknown("a group quantises no weights")
        formats.add(_format(Entry(entry.method, one["weights"])))
        targets += listed(one.get("targets"), "targets")
    if len(formats) > 1:
        raise Unknown(f"it has weights of several formats: {', '.join(sorted(formats))}")
    ignored = entry.modules("ignore")
    every = "Linear" in targets
    only = None if every else Modules(tuple(targets))
    head = (every or (only is not None and only.has("lm_head"))) and not ignored.has("lm_head")
    return entry.found(formats.pop(), kept=ignored, only=only, head=head, notes=_cache(entry))


def _dense(raw: object) -> bool:
    return isinstance(raw, Mapping) and raw.get("format", "dense") == "dense"


def _format(weights: Entry) -> str:
    """The scenario's word for a group's weights: their type, bits, and what shares a scale (``strategy``)."""
    kind, bits = weights.word("type", "int"), weights.whole("num_bits")
    strategy = weights.word("strategy") or ("group" if weights.any("group_size") else "tensor")
    group = weights.any("group_size")
    if kind == "float" and bits == 8:
        if strategy in ("tensor", "channel"):
            return {"tensor": "fp8", "channel": "fp8-channel"}[strategy]
        if strategy == "block" and list(weights.any("block_structure") or ()) == [128, 128]:
            return "fp8-block"
        if strategy == "group" and group == 32:
            return "mxfp8"
    if kind == "float" and bits == 4 and group in (16, 32) and strategy in ("tensor_group", "group"):
        return "nvfp4" if group == 16 else "mxfp4"
    if kind == "int" and bits == 8 and strategy == "channel":
        return "int8-channel"
    if kind == "int" and strategy in ("group", "channel"):
        zeros = "" if weights.flag("symmetric", True) else "-zeros"
        return f"packed-{bits}bit-g{weights.whole('group_size') if strategy == 'group' else -1}{zeros}"
    raise Unknown(f"weights of {kind} {bits} bits by {strategy}, groups of {shown(group)}, are not known")


def modelopt(entry: Entry) -> Published:
    """``quant_algo``: FP8 (one scale a matrix) or NVFP4; ``ignore`` or ``exclude_modules`` with stars [vLLM
    model_executor/layers/quantization/modelopt.py]."""
    inner = entry.raw.get("quantization")
    raw = Entry(entry.method, inner) if isinstance(inner, Mapping) else entry
    algorithm = raw.word("quant_algo").upper()
    weights = {"FP8": "fp8", "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4"}.get(algorithm)
    if weights is None:
        raise Unknown(f"quant_algo {algorithm[:20]!r} is not known")
    kept = modules([*raw.modules("ignore").entries, *raw.modules("exclude_modules").entries])
    return entry.found(weights, kept=kept, notes=_cache(raw))


def _cache(entry: Entry) -> tuple[str, ...]:
    """What there is to say of scales for the cache."""
    if not entry.any("kv_cache_scheme", "kv_cache_quant_algo"):
        return ()
    return ("the checkpoint has scales for a cache in FP8 too: inference.kv_cache says whether it is taken",)
