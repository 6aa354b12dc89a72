"""The diffusers code that makes pictures with the settings of a scenario, ready to copy. Nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memcalc.diffusion.asked import Asked, understood

HUBS = {"FLUX.1-dev": "black-forest-labs/FLUX.1-dev", "FLUX.1-schnell": "black-forest-labs/FLUX.1-schnell"}
"""Where the published models lie."""
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
    imports, before, given = _quantised(asked)
    hub = HUBS.get(asked.spec.name, "path/of/the/pipeline")
    loading = [f'"{hub}"', *given, f"torch_dtype={DTYPES[asked.precision]}"]
    lines = [
        "import torch",
        f"from diffusers import {', '.join(sorted({'FluxPipeline', *imports.get('diffusers', ())}))}",
    ]
    lines += [
        f"from {name} import {', '.join(sorted(words))}" for name, words in imports.items() if name != "diffusers"
    ]
    lines += ["", *before, _call("pipe = FluxPipeline.from_pretrained", loading)]
    lines += {
        "none": ['pipe.to("cuda")'],
        "model": ["pipe.enable_model_cpu_offload()"],
        "sequential": ["pipe.enable_sequential_cpu_offload()"],
    }[asked.offload]
    lines += ["pipe.vae.enable_slicing()"] * asked.slicing + ["pipe.vae.enable_tiling()"] * asked.tiling
    prompts = '"a lighthouse at dusk"' if asked.batch == 1 else f'["a lighthouse at dusk"] * {asked.batch}'
    words = [prompts, f"width={asked.width}", f"height={asked.height}", f"num_images_per_prompt={asked.images}"]
    words += [f"num_inference_steps={asked.steps}", f"max_sequence_length={asked.text}"]
    return "\n".join([*lines, _call("images = pipe", words) + ".images", ""])


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
        kind = weights.removeprefix("gguf:")
        before = [
            _call("transformer = FluxTransformer2DModel.from_single_file",
                  [f'"flux-{kind}.gguf"', f"quantization_config=GGUFQuantizationConfig(compute_dtype={dtype})",
                   f"torch_dtype={dtype}"]),
        ]  # fmt: skip
        return {"diffusers": ("FluxTransformer2DModel", "GGUFQuantizationConfig")}, before, ["transformer=transformer"]
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
    imports["transformers"] = (other,)
    before = [
        "quantised = PipelineQuantizationConfig(",
        "    quant_mapping={",
        f'        "transformer": DiffusersConfig({made[0]}),',
        f'        "text_encoder_2": TextConfig({made[1]}),',
        "    }",
        ")",
    ]
    return imports, before, ["quantization_config=quantised"]
