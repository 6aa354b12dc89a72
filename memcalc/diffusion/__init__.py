"""Image pipelines of diffusers as their parts: text encoders, denoiser, VAE; what each needs while it runs.

Only FLUX.1 has a program. Where a language model's estimate has prefill and decode, a pipeline's has ``encode`` (the
prompt), ``denoise`` (every step needs the same) and ``decode`` (latents to pixels).
"""

from memcalc.diffusion.answer import estimate_pipeline
from memcalc.diffusion.asked import is_pipeline, understood
from memcalc.diffusion.spec import NAMES

__all__ = ["NAMES", "estimate_pipeline", "is_pipeline", "understood"]
