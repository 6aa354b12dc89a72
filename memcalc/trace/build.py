"""A real model on the fake GPU, and a batch for it.

Models come from Hugging Face configuration objects, from timm and torchvision; from Python, a factory may give any
``torch.nn.Module`` (``memcalc.trace.factory``). Only code of installed packages is run: what a configuration says
about code elsewhere (``auto_map``, kernels of the hub) is dropped.
"""

from __future__ import annotations

import re
from typing import Any

import torch
import transformers
from transformers import initialization

from memcalc.errors import ModelError
from memcalc.trace import checkpoints, four_bit, liger
from memcalc.trace.denoisers import Denoising, denoiser
from memcalc.trace.factory import made
from memcalc.trace.package_optimizers import Facts
from memcalc.trace.pictures import ImageClassification, classifier
from memcalc.trace.recipe import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DEVICE = torch.device("meta")
"""The fake GPU."""

# The usual head of a family whose configuration names none: encoders can also be had as decoders, not the reverse.
_AUTO_HEADS = (
    "AutoModelForSeq2SeqLM",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForMaskedLM",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
)


def build_model(recipe: Recipe) -> torch.nn.Module:
    """The model in its storage format, adapters and checkpointing switched on, in train or eval mode."""
    dtype = DTYPES[recipe.storage_format if recipe.base_weights is None else recipe.compute_format]
    model = _bare_model(recipe, dtype)
    if recipe.base_weights is not None:
        train = recipe.task == "train"
        model = four_bit.quantised(model, recipe.base_weights, DTYPES[recipe.compute_format], train)
    if liger.wanted(recipe):
        liger.apply(model, recipe)
    if recipe.method in ("lora", "qlora", "dora"):
        model = _with_lora(model, recipe)
    elif recipe.method == "head":
        _freeze_all_but_head(model)
    if recipe.task == "train" and recipe.checkpointing in ("full", "selective-ops"):
        checkpoints.switch_on(model, recipe)
    return model.train(recipe.task == "train")


def _bare_model(recipe: Recipe, dtype: torch.dtype) -> torch.nn.Module:
    source = recipe.model
    if recipe.factory is not None:
        with DEVICE:
            return made(recipe.factory).to(dtype)
    for library in ("timm", "torchvision"):
        if isinstance(source, dict) and library in source:
            with DEVICE:
                return classifier(library, source[library], recipe.image_size).to(dtype)
    if isinstance(source, dict) and "diffusers" in source:
        with DEVICE:
            return denoiser(source["diffusers"], recipe.image_size).to(dtype)
    if not (isinstance(source, dict) and isinstance(source.get("config"), dict)):
        raise ModelError("the tracer runs a model's own code: it needs a catalogue name or a configuration", "model")
    config, head = configuration(source["config"])
    if recipe.image_size and head.main_input_name == "pixel_values":
        config.image_size = recipe.image_size  # as many positions as the pictures have patches
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        # Lives in the generation configuration of released models; which token it is does not matter.
        config.decoder_start_token_id = 0
    implementation = "eager" if recipe.attention == "eager" else "sdpa"
    with DEVICE, initialization.no_init_weights():
        try:
            model = head._from_config(config, attn_implementation=implementation, dtype=dtype)
        except ValueError as error:
            if "attention" not in str(error).lower():
                raise
            model = head._from_config(config, attn_implementation="eager", dtype=dtype)
        model.tie_weights()
        if source["config"].get("tie_word_embeddings") is False:
            head_apart(model)
    return model


def head_apart(model: transformers.PreTrainedModel) -> None:
    """Give a head a matrix of its own, as T5's files have where they say that it is not tied: T5Config ties it all the
    same, and loading unties it when it finds both [transformers 5.23 modeling_utils.py, tie_weights]."""
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and table is not None and head.weight is table.weight:
        head.weight = torch.nn.Parameter(torch.empty_like(table.weight))


def configuration(values: dict[str, Any]) -> tuple[Any, Any]:
    """The configuration object and the model class that a ``config.json`` stands for."""
    values = _local(values)
    kind = values.pop("model_type", None)
    if not isinstance(kind, str):
        raise ModelError("the configuration has no model_type", "model.config.model_type")
    try:
        config = transformers.AutoConfig.for_model(kind, **values)
    except ValueError as error:
        raise ModelError(f"transformers does not know the model type {kind!r}", "model.config.model_type") from error
    for architecture in values.get("architectures") or []:
        head = getattr(transformers, str(architecture), None)
        if isinstance(head, type) and issubclass(head, transformers.PreTrainedModel):
            return config, head
    for name in _AUTO_HEADS:
        mapping = getattr(transformers, name)._model_mapping
        if type(config) in mapping:
            return config, mapping[type(config)]
    raise ModelError(f"transformers has no head for {kind!r}", "model.config.model_type")


_DROPPED = {
    # formats and versions that the scenario decides
    "dtype", "torch_dtype", "transformers_version", "output_attentions", "quantization_config",
    # what would fetch code or kernels from elsewhere
    "auto_map", "_name_or_path", "_attn_implementation", "attn_implementation", "_attn_implementation_internal",
    "_experts_implementation", "experts_implementation",
}  # fmt: skip


def _local(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what must not decide here, parts of composite models included."""
    return {
        name: _local(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in _DROPPED
    }


_TASKS = {"ForCausalLM": "CAUSAL_LM", "ForSequenceClassification": "SEQ_CLS"}
"""PEFT's name for what a model is for, by how its class is called. SEQ_CLS trains the head whole."""


def _with_lora(model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
    try:
        import peft
    except ImportError as error:
        raise ModelError("tracing LoRA needs the package peft", "training.method") from error
    options = recipe.lora
    targets = options.get("targets")
    rank = int(options.get("r", 16))
    lora = peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=targets if targets is None or isinstance(targets, str) else list(targets),
        lora_dropout=float(options.get("dropout", 0.0)),
        use_dora=recipe.method == "dora",
        task_type=next((task for ending, task in _TASKS.items() if type(model).__name__.endswith(ending)), None),
    )
    dtype = DTYPES[options.get("dtype", "fp32")]
    with DEVICE:
        model = peft.get_peft_model(model, lora, autocast_adapter_dtype=dtype is torch.float32)
    # peft gives adapters the format of the layer they adapt (or fp32), except on the meta device.
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(dtype)
    return model


def _freeze_all_but_head(model: torch.nn.Module) -> None:
    if isinstance(model, ImageClassification):
        model.requires_grad_(False)
        model.head().requires_grad_(True)
        return
    if not isinstance(model, transformers.PreTrainedModel):
        raise ModelError("head-only training needs a transformers model", "training.method")
    base = getattr(model, model.base_model_prefix, model)  # T5's models have their parts side by side
    for parameter in base.parameters():
        parameter.requires_grad_(False)
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    for parameter in [] if head is None else head.parameters():
        parameter.requires_grad_(True)  # tied to the embedding, it is trained with it


def hidden_matrices(model: torch.nn.Module) -> set[int]:
    """Ids of the parameters that are matrices of the blocks: of layers inside the numbered parts of a list."""
    tables = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    inside = {id(p) for name, p in model.named_parameters() if re.search(r"\.\d+\.\w+\.", name) and p.dim() == 2}
    return inside - tables


def facts_of(model: torch.nn.Module) -> Facts:
    """What optimizers of other packages are told of the model."""
    config = getattr(model, "config", None)
    heads = getattr(config, "num_attention_heads", None) or 1
    return Facts(
        hidden_matrices(model),
        {id(one): name for name, one in model.named_parameters()},
        getattr(config, "hidden_size", None) or 0,
        heads,
        getattr(config, "num_key_value_heads", None) or heads,
    )


def training_batch(model: torch.nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Inputs and labels of one micro-batch on the fake GPU, int64 tokens and pixels in the parameters' format."""
    if recipe.make_batch is not None:
        return given_batch(model, recipe)
    if isinstance(model, Denoising):
        return denoising_batch(model, recipe, True)
    batch = inputs(model, recipe, recipe.seq_len)
    name = type(model).__name__ if not hasattr(model, "get_base_model") else type(model.get_base_model()).__name__
    rows = recipe.batch
    if "Classification" in name and "Token" not in name:
        batch["labels"] = _tokens(rows)
    elif model.config.is_encoder_decoder:
        batch["labels"] = _tokens(rows, recipe.target_len)
    else:
        batch["labels"] = _tokens(*batch["input_ids"].shape)
    return batch


def inputs(model: torch.nn.Module, recipe: Recipe, length: int | None) -> dict[str, torch.Tensor]:
    """What the model reads, without labels: pixels, spectra or ``length`` tokens a row."""
    if recipe.make_batch is not None:
        return given_batch(model, recipe)
    if isinstance(model, Denoising):
        return denoising_batch(model, recipe, False)
    config = getattr(model, "config", None)
    if config is None:
        raise ModelError("a model without a configuration needs batch=, a callable that makes what it reads", "batch")
    rows = recipe.batch
    kind = getattr(model, "main_input_name", "input_ids")
    dtype = DTYPES[recipe.storage_format]
    if kind == "pixel_values":
        side = recipe.image_size or config.image_size
        with DEVICE:
            return {"pixel_values": torch.empty(rows, config.num_channels, side, side, dtype=dtype)}
    if kind == "input_features":
        with DEVICE:
            return {
                "input_features": torch.empty(rows, config.num_mel_bins, 2 * config.max_source_positions, dtype=dtype)
            }
    batch = {"input_ids": _tokens(rows, length or default_length(config))}
    if recipe.padded:
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    return batch


def decoder_start(model: torch.nn.Module, recipe: Recipe, length: int) -> dict[str, torch.Tensor]:
    """The decoder's tokens, where a model has an encoder besides."""
    two_sided = recipe.make_batch is None and getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    return {"decoder_input_ids": _tokens(recipe.batch, length)} if two_sided else {}


def denoising_batch(model: Denoising, recipe: Recipe, train: bool) -> dict[str, torch.Tensor]:
    """What a denoiser is called with."""
    with DEVICE:
        return model.batch(recipe.batch, recipe.image_size, recipe.text_len, DTYPES[recipe.storage_format], train)


def given_batch(model: torch.nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """What the caller's function makes, on the fake GPU."""
    assert recipe.make_batch is not None
    with DEVICE:
        return dict(recipe.make_batch(model, recipe.batch))


def default_length(config: Any) -> int:
    """2048 tokens, or the model's own limit if that is less."""
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 2048
    return min(2048, int(limit))


def _tokens(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64, device=DEVICE)
