"""The safety checker that Stable Diffusion 1.5 comes with: CLIP's vision model (ViT-L/14) and a table of concepts.

303,981,588 parameters, as StableDiffusionSafetyChecker of diffusers 0.42 on the meta device.
"""

from __future__ import annotations

from memcalc.architectures.layers import Maker
from memcalc.diffusion.parts import Part, norm

WIDTH, INNER, LAYERS, PATCH, POSITIONS, PROJECTION = 1024, 4096, 24, 14, 257, 768
CONCEPTS, CARE = 17, 3


def safety_checker(make: Maker) -> Part:
    """It looks at every finished picture and is not offloaded; its own pass over pictures of 224 pixels is smaller than
    the decode before it."""
    make.parameter("class_embedding", WIDTH)
    make.parameter("patch_embedding.weight", WIDTH, 3, PATCH, PATCH)
    make.parameter("position_embedding", POSITIONS, WIDTH)
    for name in ("pre_layrnorm", "post_layernorm"):
        norm(make, name, WIDTH)
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        make.linear("layer.attn", name, WIDTH, WIDTH, True, LAYERS)
    make.linear("layer.mlp", "fc1", WIDTH, INNER, True, LAYERS)
    make.linear("layer.mlp", "fc2", INNER, WIDTH, True, LAYERS)
    for name in ("layer_norm1", "layer_norm2"):
        norm(make, f"layer.{name}", WIDTH, LAYERS)
    make.linear("visual", "projection", WIDTH, PROJECTION, False)
    for name, count in (("concept", CONCEPTS), ("special_care", CARE)):
        make.parameter(f"{name}_embeds", count, PROJECTION)
        make.parameter(f"{name}_embeds_weights", count)
    return Part("safety checker", "decode", make.parameters, stays=True)
