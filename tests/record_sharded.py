"""Make ``tests/data/sharded.json`` anew: real FSDP2 and DDP code around real model code, on fake tensors.

    python tests/record_sharded.py        all cases (a minute; needs torch and transformers)

A process group that communicates with nobody (torch.testing's fake one) stands for the other ranks; rank 0 is traced.
The tensors are the tracer's (``meta`` tensors of memcalc.trace); streams and events, which a GPU needs, do nothing, so
a buffer lives exactly as long as FSDP2's own Python code holds on to it. FSDP2 frees gathered parameters by resizing
their storages to nothing: that is recorded as a death and a birth. Recorded with torch 2.13 and transformers 5.23.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.fsdp._fully_shard import (
    _fsdp_collectives,
    _fsdp_init,
    _fsdp_param,
    _fsdp_param_group,
    _fsdp_state,
    _fully_shard,
)
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore

sys.path.insert(0, str(Path(__file__).parent.parent))

from memcalc.trace import build, run
from memcalc.trace import recipe as recipes
from memcalc.trace.cuda_rules import cuda_rules
from memcalc.trace.ledger import Ledger
from memcalc.trace.session import _checkpoint_inputs, _plain_sequences, _quiet

RECORD = Path(__file__).parent / "data" / "sharded.json"
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 1000, "hidden_size": 256,
    "intermediate_size": 688, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4,
    "max_position_embeddings": 2048, "tie_word_embeddings": False,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 1000, "n_embd": 192, "n_layer": 5,
    "n_head": 6, "n_positions": 512,
}  # fmt: skip
UNEVEN = {"vocab_size": 1003, "hidden_size": 264, "intermediate_size": 700, "num_attention_heads": 4,
          "num_key_value_heads": 4}  # fmt: skip


def _case(strategy: str, precision: str = "bf16", config: Any = LLAMA, batch: int = 2, seq: int = 64, data: int = 8,
          training: Any = None, **parallel: Any) -> dict[str, Any]:  # fmt: skip
    return {
        "model": {"config": config},
        "task": "train",
        "precision": precision,
        "batch": batch,
        "seq_len": seq,
        "training": training or {},
        "parallel": {"data": data, "strategy": strategy, **parallel},
    }


CASES = {
    "fsdp2 bf16": _case("fsdp2"),
    "fsdp2 bf16-mixed": _case("fsdp2", "bf16-mixed"),
    "fsdp2 bf16-mixed, one sequence": _case("fsdp2", "bf16-mixed", batch=1),
    "fsdp2 fp16-mixed": _case("fsdp2", "fp16-mixed"),
    "fsdp2 fp32": _case("fsdp2", "fp32"),
    "fsdp2 bf16, longer": _case("fsdp2", seq=512),
    "fsdp2 bf16, blocks stay whole": _case("fsdp2", reshard_after_forward=False),
    "fsdp2 bf16, three layers": _case("fsdp2", config={**LLAMA, "num_hidden_layers": 3}),
    "fsdp2 bf16-mixed, uneven shards": _case("fsdp2", "bf16-mixed", {**LLAMA, **UNEVEN}),
    "fsdp2 bf16, tied": _case("fsdp2", config={**LLAMA, "tie_word_embeddings": True}),
    "fsdp2 bf16, checkpointing": _case("fsdp2", training={"checkpointing": "full"}),
    "fsdp2 bf16-mixed, checkpointing": _case("fsdp2", "bf16-mixed", training={"checkpointing": "full"}),
    "fsdp2 bf16, accumulation": _case("fsdp2", training={"grad_accumulation": 3}),
    "fsdp2 bf16-mixed, accumulation": _case("fsdp2", "bf16-mixed", training={"grad_accumulation": 3}),
    "fsdp2 bf16, fused step": _case("fsdp2", training={"optimizer_impl": "fused"}),
    "fsdp2 bf16, lora": _case("fsdp2", training={"method": "lora"}),
    "fsdp2 bf16, gpt2": _case("fsdp2", config=GPT2),
    "fsdp2 bf16-mixed, gpt2": _case("fsdp2", "bf16-mixed", GPT2),
    "ddp fp32": _case("ddp", "fp32"),
    "ddp bf16-mixed": _case("ddp", "bf16-mixed"),
    "ddp bf16, accumulation": _case("ddp", training={"grad_accumulation": 3}),
    "ddp bf16, bucket views": _case("ddp", bucket_view=True),
    "ddp fp32, bucket views": _case("ddp", "fp32", bucket_view=True),
    "ddp bf16, gpt2": _case("ddp", config=GPT2),
    "ddp bf16, lora": _case("ddp", training={"method": "lora"}),
}


class Streams:
    """torch.cuda as far as FSDP2 looks at it: streams and events that do nothing."""

    class Stream:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    class Event(Stream):
        def record(self, *_: Any) -> Any:
            return self

    stream = staticmethod(lambda _: contextlib.nullcontext())
    current_stream = staticmethod(lambda *_: Streams.Stream())


class ShardedLedger(Ledger):
    """Sees through DTensor to the rank's own part, and takes a resized storage for a death and a birth."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # DDP sends the order of its buckets around: what comes back from the fake GPU is what was sent.
        if func is torch.ops.aten.copy_.default and args[1].device.type == "meta" != args[0].device.type:
            return args[0]
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _see(self, tensor: Any, func: Any, node: str | None) -> None:
        super()._see(local(tensor), func, node)

    def free(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.size():
            entry = self._live.pop(storage._cdata, None)
            if entry is not None:
                entry[1].died = len(self.events)
                self.events.append((-entry[1].size, entry[1].id))
            storage.resize_(0)

    def allocate(self, tensor: torch.Tensor) -> None:
        size = tensor.numel() * tensor.itemsize
        if tensor.untyped_storage().size() != size:
            tensor.untyped_storage().resize_(size)
            self._see(tensor, "alloc_storage", "")


def local(tensor: Any) -> Any:
    """This rank's part of a DTensor."""
    return getattr(tensor, "_local_tensor", tensor)


def patch() -> None:
    """Let FSDP2 take the fake GPU for a GPU."""
    for module in (_fsdp_param_group, _fsdp_collectives, _fsdp_state):
        module._get_device_handle = lambda _=None: Streams
    for module in (_fully_shard, _fsdp_init):
        if hasattr(module, "_get_device_from_mesh"):
            module._get_device_from_mesh = lambda _: torch.device("meta")
    _fsdp_param_group.FSDPParamGroup._validate_no_meta_params = lambda _: None
    _fsdp_collectives.DefaultAllGather.__call__ = lambda *_, **__: None
    _fsdp_collectives.DefaultReduceScatter.__call__ = lambda *_, **__: None


def follow(ledger: ShardedLedger) -> None:
    """FSDP2's storage functions report to ``ledger``."""
    _fsdp_param.alloc_storage = _fsdp_param_group.alloc_storage = ledger.allocate
    _fsdp_param.free_storage = ledger.free


def reduced(_: Any, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """All-reduce among nobody: the bucket is its own sum."""
    done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


# DDP looks at the annotations themselves, not at their names.
reduced.__annotations__ = {"bucket": dist.GradBucket, "return": torch.futures.Future[torch.Tensor]}


def wrapped(model: Any, scenario: Any, recipe: recipes.Recipe) -> Any:
    """The model as the strategy wraps it."""
    asked = scenario["parallel"]
    if asked["strategy"] == "ddp":
        replica = DistributedDataParallel(
            model, init_sync=False, broadcast_buffers=False, gradient_as_bucket_view=asked.get("bucket_view", False)
        )
        replica.register_comm_hook(None, reduced)
        return replica
    options: dict[str, Any] = {"mesh": init_device_mesh("cpu", (asked["data"],))}
    if recipe.autocast_format:
        options["mp_policy"] = MixedPrecisionPolicy(build.DTYPES[recipe.autocast_format], torch.float32)
    if not asked.get("reshard_after_forward", True):
        options["reshard_after_forward"] = False
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    for block in inner.model.layers if hasattr(inner, "model") else inner.transformer.h:
        fully_shard(block, **options)
    return fully_shard(model, **options)


def steps(model: Any, recipe: recipes.Recipe, ledger: ShardedLedger, autocast: bool) -> None:
    """Two steps, as memcalc.trace.run.train makes them."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, **{recipe.optimizer_impl: True})
    inner = getattr(model, "module", model)
    ledger.phase("forward 1")
    batch = build.training_batch(inner, recipe)
    for number in (1, 2):
        for micro in range(recipe.grad_accumulation):
            last = micro + 1 == recipe.grad_accumulation
            sync = model.no_sync() if hasattr(model, "no_sync") and not last else contextlib.nullcontext()
            ledger.phase(f"forward {number}")
            with sync, run._saved_marked(ledger):
                with run._autocast(recipe) if autocast else contextlib.nullcontext():
                    outputs = model(**batch, use_cache=False)
                    loss = outputs.loss
                del outputs
                ledger.phase(f"backward {number}")
                loss.backward()
                del loss
        ledger.phase(f"optimizer {number}")
        optimizer.step()
        ledger.phase("between")
        optimizer.zero_grad(set_to_none=True)
    ledger.phase("end")


def peaks(ledger: ShardedLedger) -> dict[str, int]:
    """The highest level of every phase, bytes."""
    found: dict[str, int] = {}
    level = 0
    stops = [begin for _, begin in ledger.marks[1:]] + [len(ledger.events)]
    for (name, begin), stop in zip(ledger.marks, stops, strict=True):
        found[name] = max(found.get(name, 0), level)
        for size, _ in ledger.events[begin:stop]:
            level += size
            found[name] = max(found[name], level)
    return {name: size for name, size in found.items() if name not in ("between", "end")}


@contextlib.contextmanager
def group(size: int) -> Iterator[None]:
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def trace(scenario: dict[str, Any]) -> dict[str, int]:
    """The highest level of every phase on rank 0."""
    recipe = recipes.read({name: value for name, value in scenario.items() if name != "parallel"})
    ledger = ShardedLedger()
    follow(ledger)
    with (
        group(scenario["parallel"]["data"]),
        _quiet(),
        cuda_rules("flash", lambda copy: ledger.claim(copy, "activations")),
    ):
        model = build.build_model(recipe)
        ddp = scenario["parallel"]["strategy"] == "ddp"
        model = model if ddp else wrapped(model, scenario, recipe)
        gc.collect()
        gc.disable()
        try:
            ledger.phase("load 0")
            ledger.adopt([local(one) for one in [*model.parameters(), *model.buffers()]], "weights", "load")
            with _plain_sequences(ledger), _checkpoint_inputs(model, recipe, ledger), ledger:
                steps(wrapped(model, scenario, recipe) if ddp else model, recipe, ledger, autocast=ddp)
        finally:
            ledger.close()
            gc.enable()
    return peaks(ledger)


def main() -> None:
    patch()
    lines = []
    for name, scenario in CASES.items():
        lines.append(json.dumps({"name": name, "scenario": scenario, "phases": trace(scenario)}, separators=(",", ":")))
        print(name, file=sys.stderr, flush=True)
    RECORD.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
