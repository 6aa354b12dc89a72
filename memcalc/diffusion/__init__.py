"""Image pipelines of diffusers as their parts: text encoders, denoiser, VAE; what each needs while it runs.

FLUX.1, Stable Diffusion 1.5, SDXL, Stable Diffusion 3 and 3.5 have programs. Where a language model's estimate has
prefill and decode, a pipeline's has ``encode`` (the prompt), ``denoise`` (every step needs the same) and ``decode``
(latents to pixels).
"""

from memcalc.diffusion.answer import estimate_pipeline
from memcalc.diffusion.asked import OFFLOADS, PRECISIONS, WEIGHTS, is_pipeline, understood
from memcalc.diffusion.spec import NAMES, PUBLISHED

__all__ = ["NAMES", "OFFLOADS", "PRECISIONS", "PUBLISHED", "WEIGHTS", "estimate_pipeline", "is_pipeline", "understood"]
