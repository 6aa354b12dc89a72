"""One trace from beginning to end: build, load, run under the ledger, read the log."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from memcalc.errors import MemcalcError, ModelError, ScenarioError
from memcalc.trace import build, checkpoints, four_bit, liger, package_optimizers, run
from memcalc.trace import recipe as recipes
from memcalc.trace.cuda_rules import cuda_rules
from memcalc.trace.factory import Batch, Factory
from memcalc.trace.ledger import Ledger
from memcalc.trace.reading import read_ledger
from memcalc.trace.result import Trace


def run_scenario(
    scenario: Mapping[str, Any],
    modules: bool = False,
    tell: Callable[[str], None] | None = None,
    factory: Factory | None = None,
    batch: Batch | None = None,
) -> Trace:
    """Trace a contract scenario; see ``memcalc.trace.trace``."""
    recipe = recipes.read(scenario, factory, batch)
    wish = "flash" if recipe.attention in ("sdpa", "eager") else recipe.attention
    ledger = Ledger(tell)
    if tell is not None:
        tell("build")

    def keep(copy: torch.Tensor) -> None:
        ledger.claim(copy, "activations")

    with _offline(), _quiet(), cuda_rules(wish, keep) as kernels, _model_code(), liger.kernels(recipe):
        model = build.build_model(recipe)
        # Collected garbage must not be counted as a free of the run, nor cyclic garbage live on by chance.
        gc.collect()
        gc.disable()
        try:
            ledger.phase("load")
            ledger.adopt([*model.parameters(), *model.buffers(), *four_bit.states(model)], "weights", "load")
            with contextlib.ExitStack() as stack:
                if recipe.base_weights is not None:
                    stack.enter_context(four_bit.kernels())
                stack.enter_context(package_optimizers.stand_ins(recipe))
                if modules:
                    stack.enter_context(_module_names(model, ledger))
                stack.enter_context(_autocast_regions(model))
                stack.enter_context(checkpoints.claimed(model, recipe, ledger))
                stack.enter_context(_answers(ledger, model))
                stack.enter_context(_recomputed_attention(model, recipe))
                stack.enter_context(ledger)
                (run.train if recipe.task == "train" else run.infer)(model, recipe, ledger)
        finally:
            ledger.close()
            gc.enable()
        return read_ledger(ledger, _count(model), kernels)


@contextlib.contextmanager
def _autocast_regions(model: torch.nn.Module) -> Iterator[None]:
    """Let model code switch autocast off where it does on CUDA: transformers' ``maybe_autocast`` does nothing on the
    meta device, which is the fake GPU here [transformers 5.23 utils/generic.py]."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    module = sys.modules[type(base).__module__]
    original = getattr(module, "maybe_autocast", None)
    if original is None:
        yield
        return
    module.maybe_autocast = torch.autocast  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.maybe_autocast = original  # type: ignore[attr-defined]


def _count(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of elements: all, trainable, in embedding tables; and of distinct parameter tensors."""
    parameters = list(model.parameters())
    tables = {id(m.weight): m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    return {
        "total": sum(four_bit.count(p) for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "embedding": sum(tables.values()),
        "tensors": len(parameters),
    }


@contextlib.contextmanager
def _answers(ledger: Ledger, model: torch.nn.Module) -> Iterator[None]:
    """What yes-or-no questions about data are answered with.

    Positions that run 0, 1, 2, ... are one sequence, not several packed into a row: yes. Is nothing padded? No, where a
    padding mask was given; but a decoder beside an encoder makes itself one of ones. Are BART's hidden states finite in
    fp16? Yes."""
    from transformers import masking_utils

    two_sided = bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))
    answers = {"find_packed_sequence_indices": True, "_ignore_bidirectional_mask_sdpa": False}
    originals = {name: getattr(masking_utils, name) for name in answers}
    ledger.truth = two_sided
    for name, answer in answers.items():
        setattr(masking_utils, name, _answering(ledger, originals[name], answer))
    try:
        yield
    finally:
        ledger.truth = False
        for name, original in originals.items():
            setattr(masking_utils, name, original)


def _answering(ledger: Ledger, function: Callable[..., Any], answer: bool) -> Callable[..., Any]:
    """``function`` with its questions answered so."""

    def call(*args: Any, **kwargs: Any) -> Any:
        before, ledger.truth = ledger.truth, answer
        try:
            return function(*args, **kwargs)
        finally:
            ledger.truth = before

    return call


@contextlib.contextmanager
def _recomputed_attention(model: torch.nn.Module, recipe: recipes.Recipe) -> Iterator[None]:
    """Selective recomputation: torch.utils.checkpoint around transformers' attention function."""
    if recipe.task != "train" or recipe.checkpointing != "selective-attention":
        yield
        return
    from torch.utils.checkpoint import checkpoint
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    code = sys.modules[type(inner).__module__]
    plain = getattr(code, "eager_attention_forward", None)
    if plain is None:
        raise ScenarioError(
            "the tracer cannot recompute this model's attention: it is written into the block", "training.checkpointing"
        )
    original = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def again(function: Any) -> Any:
        return lambda *args, **kwargs: checkpoint(function, *args, use_reentrant=False, **kwargs)

    ALL_ATTENTION_FUNCTIONS["sdpa"] = again(original)
    code.eager_attention_forward = again(plain)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS["sdpa"] = original
        code.eager_attention_forward = plain  # type: ignore[attr-defined]


@contextlib.contextmanager
def _module_names(model: torch.nn.Module, ledger: Ledger) -> Iterator[None]:
    """Keep the ledger told of the module whose forward is running."""
    handles = []

    def leave(*_: object) -> None:
        ledger.module_stack.pop()

    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, _n=name: ledger.module_stack.append(_n)))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _model_code() -> Iterator[None]:
    """What model code raises is an answer to the scenario: this model cannot be run so."""
    try:
        yield
    except MemcalcError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"the model's own code fails: {type(error).__name__}: {said}", "model") from error


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Nothing is fetched: a configuration is all that a trace needs."""
    import huggingface_hub.constants as hub

    before = hub.HF_HUB_OFFLINE
    hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Model code warns about things that do not matter on a fake GPU."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
