"""The training step and the inference run that the contract means, carried out on a model on the fake GPU."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import torch

from memcalc.trace import build
from memcalc.trace.factory import loss_of
from memcalc.trace.ledger import Ledger
from memcalc.trace.optimizers import Stepper
from memcalc.trace.recipe import Recipe

ITERATIONS = 2
"""Optimizer states appear in the first step; the second iteration is the steady state."""

REAL_DECODE_STEPS = 2
"""Decode steps that are really run at each end; between them the cache is grown at once."""


def train(model: torch.nn.Module, recipe: Recipe, ledger: Ledger) -> None:
    """Two iterations of forward, loss, backward for each micro-batch, then step and zero_grad."""
    batch: dict[str, torch.Tensor] = {}
    trainable = [p for p in model.parameters() if p.requires_grad]
    handles = [p.register_post_accumulate_grad_hook(lambda p: ledger.claim(p.grad, "gradients")) for p in trainable]
    ledger.phase("opt_init")
    stepper = Stepper(trainable, recipe, ledger, build.facts_of(model))
    for iteration in range(1, ITERATIONS + 1):
        for micro in range(1, recipe.grad_accumulation + 1):
            name = f"iter{iteration}" if recipe.grad_accumulation == 1 else f"iter{iteration}.mb{micro}"
            ledger.phase(f"{name}.fwd")
            if not batch:
                batch = build.training_batch(model, recipe)
                _claim_inputs(batch, ledger)
            with _saved(recipe, ledger), _autocast(recipe):
                outputs = model(**batch, use_cache=False) if _takes_cache(model) else model(**batch)
                loss = loss_of(outputs)
                if recipe.grad_accumulation > 1:
                    loss = loss / recipe.grad_accumulation
            ledger.phase(f"{name}.fwd_end")
            del outputs
            ledger.phase(f"{name}.bwd")
            with _saved_marked(ledger):
                loss.backward()
            del loss
        ledger.phase(f"iter{iteration}.opt")
        if recipe.clip_grad:
            torch.nn.utils.clip_grad_norm_(trainable, 1.0, foreach=True)
        stepper.step()
        ledger.phase(f"iter{iteration}.zero_grad")
        stepper.zero_grad(recipe.zero_grad == "set-to-none")
    ledger.phase("end")
    for handle in handles:
        handle.remove()
    # What stays at the end belongs to the event log too: the batch is still held here.
    batch.clear()


def infer(model: torch.nn.Module, recipe: Recipe, ledger: Ledger) -> None:
    """One forward pass, or prefill and decode with a growing cache."""
    with torch.no_grad():
        if recipe.runtime == "forward" or not _takes_cache(model):
            ledger.phase("forward")
            length = recipe.prompt_tokens if recipe.seq_len is None else recipe.seq_len
            batch = build.inputs(model, recipe, length)
            _claim_inputs(batch, ledger)
            options: dict[str, Any] = {"use_cache": False} if _takes_cache(model) else {}
            if options and recipe.logits == "last":
                options["logits_to_keep"] = 1
            outputs = model(**batch, **build.decoder_start(model, recipe, recipe.target_len), **options)
            ledger.phase("end")
            del outputs
        elif getattr(model.config, "is_encoder_decoder", False):
            _generate_from_encoder(model, recipe, ledger)
        else:
            _generate(model, recipe, ledger)


def _generate_from_encoder(model: torch.nn.Module, recipe: Recipe, ledger: Ledger) -> None:
    """As generate() does: the encoder once, its result and its inputs held to the end, the decoder token by token."""
    from transformers import DynamicCache, EncoderDecoderCache

    ledger.phase("prefill")
    batch = build.inputs(model, recipe, recipe.prompt_tokens)
    _claim_inputs(batch, ledger)
    said = model.get_encoder()(**batch, return_dict=True)
    mask = {"attention_mask": batch["attention_mask"]} if "attention_mask" in batch else {}
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def decode(ids: dict[str, torch.Tensor]) -> torch.Tensor:
        outputs = model(encoder_outputs=said, past_key_values=cache, use_cache=True, **ids, **mask)
        token: torch.Tensor = outputs.logits[:, -1:].argmax(-1)
        for one in (cache.self_attention_cache, cache.cross_attention_cache):
            _claim_cache(one, ledger)
        return token

    token = decode(build.decoder_start(model, recipe, 1))
    steps, done = recipe.new_tokens - 1, 0
    ledger.phase("decode_first")
    while done < min(REAL_DECODE_STEPS, steps):
        token = decode({"decoder_input_ids": token})
        done += 1
    skip = steps - done - REAL_DECODE_STEPS
    if skip > 0:
        ledger.phase("fast_forward")
        _grow(cache.self_attention_cache, skip, ledger)
        done += skip
    if done < steps:
        ledger.phase("decode_last")
    while done < steps:
        token = decode({"decoder_input_ids": token})
        done += 1
    ledger.phase("end")


def _generate(model: torch.nn.Module, recipe: Recipe, ledger: Ledger) -> None:
    from transformers import DynamicCache

    ledger.phase("prefill")
    batch = build.inputs(model, recipe, recipe.prompt_tokens)
    _claim_inputs(batch, ledger)
    # State-space models call their cache otherwise, and generate() gives them a mask for the prompt only. RWKV makes
    # its states itself.
    takes = inspect.signature(model.forward).parameters
    stateful = "cache_params" in takes
    held = "cache_params" if stateful else "past_key_values" if "past_key_values" in takes else "state"
    cache: Any = None if held == "state" else DynamicCache(config=model.config)
    only_last = {} if recipe.logits == "all" else {"logits_to_keep": 1}
    outputs = model(**batch, **{held: cache}, use_cache=True, **only_last)
    token = outputs.logits[:, -1:].argmax(-1)
    if held == "state":
        cache = outputs.state
    del outputs
    _claim_cache(cache, ledger)
    mask = batch.get("attention_mask")
    steps = recipe.new_tokens - 1
    done = 0

    # As in generate(): the longer mask takes the place of the one before; the caller keeps the prompt's own.
    extra = {} if mask is None else {"attention_mask": mask}
    del mask

    def decode(token: torch.Tensor) -> torch.Tensor:
        if extra:
            mask = extra["attention_mask"]
            extra["attention_mask"] = torch.cat([mask, mask.new_ones(mask.shape[0], 1)], dim=-1)
            del mask
        # RWKV's code makes hidden states of several tokens of one: generate() asks it for the last one's logits too.
        last = only_last if held == "state" else {}
        outputs = model(input_ids=token, **{held: cache}, use_cache=True, **last, **({} if stateful else extra))
        token = outputs.logits[:, -1:].argmax(-1)
        _claim_cache(cache, ledger)
        return token

    ledger.phase("decode_first")
    while done < min(REAL_DECODE_STEPS, steps):
        token = decode(token)
        done += 1
    skip = steps - done - REAL_DECODE_STEPS
    if skip > 0:
        ledger.phase("fast_forward")
        _grow(cache, skip, ledger)
        if extra:
            rows, length = extra["attention_mask"].shape
            extra["attention_mask"] = torch.ones(rows, length + skip, dtype=torch.int64, device=build.DEVICE)
        done += skip
    if done < steps:
        ledger.phase("decode_last")
    while done < steps:
        token = decode(token)
        done += 1
    ledger.phase("end")


def _grow(cache: Any, tokens: int, ledger: Ledger) -> None:
    """Lengthen every layer's keys and values as ``tokens`` decode steps would have left them."""
    for layer in getattr(cache, "layers", []):
        if not getattr(layer, "is_initialized", False) or getattr(layer, "keys", None) is None:
            continue
        window = getattr(layer, "sliding_window", None) if getattr(layer, "is_sliding", False) else None
        for name in ("keys", "values"):
            old = getattr(layer, name)
            length = old.shape[-2] + tokens if window is None else min(old.shape[-2] + tokens, window - 1)
            shape = (*old.shape[:-2], length, old.shape[-1])
            del old
            setattr(layer, name, None)
            setattr(layer, name, torch.empty(shape, dtype=layer.dtype, device=build.DEVICE))
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length += tokens
    _claim_cache(cache, ledger)


def _claim_inputs(batch: dict[str, torch.Tensor], ledger: Ledger) -> None:
    for tensor in batch.values():
        ledger.claim(tensor, "inputs")


def _claim_cache(cache: Any, ledger: Ledger) -> None:
    if isinstance(cache, list):  # of states
        for one in cache:
            ledger.claim(one, "kv_cache")
        return
    for layer in cache.layers:
        for value in vars(layer).values():
            for one in value.values() if isinstance(value, dict) else (value,):
                if isinstance(one, torch.Tensor):
                    ledger.claim(one, "kv_cache")


def _takes_cache(model: torch.nn.Module) -> bool:
    return hasattr(getattr(model, "config", None), "use_cache")


def _autocast(recipe: Recipe) -> contextlib.AbstractContextManager[Any]:
    if recipe.autocast_format is None:
        return contextlib.nullcontext()
    region: contextlib.AbstractContextManager[Any] = torch.autocast("cuda", dtype=build.DTYPES[recipe.autocast_format])
    return region


def _saved(recipe: Recipe, ledger: Ledger) -> contextlib.AbstractContextManager[Any]:
    """What happens to the tensors that autograd saves in a forward pass: they stay, or go to the host."""
    if not recipe.activation_offload:
        return _saved_marked(ledger)
    offloaded: contextlib.AbstractContextManager[Any] = torch.autograd.graph.save_on_cpu()
    return offloaded


@contextlib.contextmanager
def _saved_marked(ledger: Ledger) -> Iterator[None]:
    """Claim for the activations whatever autograd saves while entered."""

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        ledger.claim(tensor, "activations")
        # A node that held its own result would live in a circle with it, which it does not without hooks.
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield
