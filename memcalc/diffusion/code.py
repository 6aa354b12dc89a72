"""The diffusers code that makes pictures with the settings of a scenario, ready to copy. Nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.diffusion.asked import Asked, understood
from memcalc.diffusion.spec import PUBLISHED
from memcalc.diffusion.text import CLIP_TOKENS

DTYPES = {"bf16": "torch.bfloat16", "fp16": "torch.float16", "fp32": "torch.float32"}
_TORCHAO = {"torchao-int8": "Int8WeightOnlyConfig()", "torchao-float8": "Float8WeightOnlyConfig()",
            "fp8": "Float8WeightOnlyConfig()"}  # fmt: skip
_QUANTO = {"quanto-int4": "int4", "quanto-int8": "int8", "quanto-float8": "float8"}
_BNB = {"int8", "nf4", "nf4-dq", "fp4"}


def code(scenario: Mapping[str, Any]) -> str:
    """Python for diffusers 0.42 that loads the pipeline and calls it once.

    >>> print(code({"model": "FLUX.1-schnell", "inference": {"offload": "model"}}).splitlines()[7])
    pipe.enable_model_cpu_offload()
    """
    asked = understood(scenario)
    spec = asked.spec
    imports, before, given = _quantised(asked)
    given = [*given, *_upcast(asked), *_without_t5(asked)]
    hub = PUBLISHED[spec.name][1] if spec.name in PUBLISHED else "path/of/the/pipeline"
    loading = [f'"{hub}"', *given, f"torch_dtype={DTYPES[asked.precision]}"]
    if asked.precision == "fp16" and spec.vae.upcast and not asked.upcast:
        imports["diffusers"] = ("AutoencoderKL", *imports.get("diffusers", ()))
    lines = [
        "import torch",
        f"from diffusers import {', '.join(sorted({spec.pipeline, *imports.get('diffusers', ())}))}",
    ]
    lines += [
        f"from {name} import {', '.join(sorted(words))}" for name, words in imports.items() if name != "diffusers"
    ]
    lines += ["", *before, _call(f"pipe = {spec.pipeline}.from_pretrained", loading)]
    lines += {
        "none": ['pipe.to("cuda")'],
        "model": ["pipe.enable_model_cpu_offload()"],
        "sequential": ["pipe.enable_sequential_cpu_offload()"],
    }[asked.offload]
    lines += ["pipe.vae.enable_slicing()"] * asked.slicing + ["pipe.vae.enable_tiling()"] * asked.tiling
    prompts = '"a lighthouse at dusk"' if asked.batch == 1 else f'["a lighthouse at dusk"] * {asked.batch}'
    called = [prompts, f"width={asked.width}", f"height={asked.height}", f"num_images_per_prompt={asked.images}"]
    called.append(f"num_inference_steps={asked.steps}")
    if asked.text != CLIP_TOKENS:
        called.append(f"max_sequence_length={asked.text}")
    if asked.guidance is False:
        called.append("guidance_scale=1.0")
    return "\n".join([*lines, _call("images = pipe", called) + ".images", ""])


def _upcast(asked: Asked) -> list[str]:
    """A VAE that was made for fp16, in place of the one that is run in fp32."""
    if asked.precision != "fp16" or not asked.spec.vae.upcast or asked.upcast:
        return []
    return ['vae=AutoencoderKL.from_pretrained("madebyollin/sdxl-vae-fp16-fix", torch_dtype=torch.float16)']


def _without_t5(asked: Asked) -> list[str]:
    lost = [one for one in asked.spec.encoders if one not in asked.encoders]
    return [
        f"{name}=None" for one in lost for name in (one.component, one.component.replace("text_encoder", "tokenizer"))
    ]


def _call(name: str, words: list[str]) -> str:
    """A call in one line, or with a line for each argument."""
    line = f"{name}({', '.join(words)})"
    return line if len(line) <= 88 else f"{name}(\n    " + ",\n    ".join(words) + ",\n)"


Imports = dict[str, tuple[str, ...]]


def _quantised(asked: Asked) -> tuple[Imports, list[str], list[str]]:
    """What quantised weights add: imports, lines before the pipeline is loaded, and arguments to its loading."""
    weights, dtype = asked.weights, DTYPES[asked.precision]
    if weights == "same":
        return {}, [], []
    if weights.startswith("gguf:"):
        file = f"{asked.spec.name}-{weights.removeprefix('gguf:')}.gguf"
        before = [
            _call(f"transformer = {asked.spec.model}.from_single_file",
                  [f'"{file}"', f"quantization_config=GGUFQuantizationConfig(compute_dtype={dtype})",
                   f"torch_dtype={dtype}"]),
        ]  # fmt: skip
        return {"diffusers": (asked.spec.model, "GGUFQuantizationConfig")}, before, ["transformer=transformer"]
    imports: Imports = {"diffusers": ("PipelineQuantizationConfig",)}
    if weights in _BNB:
        own, other = "BitsAndBytesConfig as DiffusersConfig", "BitsAndBytesConfig as TextConfig"
        words = "load_in_8bit=True" if weights == "int8" else (
            f'load_in_4bit=True, bnb_4bit_quant_type="{weights.removesuffix("-dq")}", bnb_4bit_compute_dtype={dtype}'
            + (", bnb_4bit_use_double_quant=True" if weights == "nf4-dq" else "")
        )  # fmt: skip
        made = (words, words)
    elif weights in _QUANTO:
        own, other = "QuantoConfig as DiffusersConfig", "QuantoConfig as TextConfig"
        made = (f'weights_dtype="{_QUANTO[weights]}"', f'weights="{_QUANTO[weights]}"')
    else:
        own, other = "TorchAoConfig as DiffusersConfig", "TorchAoConfig as TextConfig"
        config = _TORCHAO.get(weights) or f"Int4WeightOnlyConfig(group_size={weights.rpartition('g')[2] or 128})"
        imports["torchao.quantization"] = (config.partition("(")[0],)
        made = (config, config)
    imports["diffusers"] = ("PipelineQuantizationConfig", own)
    if any(one.t5 for one in asked.encoders):
        imports["transformers"] = (other,)
    before = [
        "quantised = PipelineQuantizationConfig(",
        "    quant_mapping={",
        f'        "{asked.spec.component}": DiffusersConfig({made[0]}),',
        *(f'        "{one.component}": TextConfig({made[1]}),' for one in asked.encoders if one.t5),
        "    }",
        ")",
    ]
    return imports, before, ["quantization_config=quantised"]
