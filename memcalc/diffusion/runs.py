"""One pass of each part as a tape: FLUX.1's transformer and the VAE's decoder, operator by operator, without gradients.

Local variables are held and dropped as the model code does. What cuDNN's convolutions take beside their results is not
on the tape (``memcalc.diffusion.answer``).
"""

from __future__ import annotations

from memcalc.diffusion.parts import CLIP_TOKENS, CLIP_WIDTH, LATENT_CHANNELS, T5_HEADS, T5_INNER, T5_WIDTH, VAE_CHANNELS
from memcalc.diffusion.spec import FluxSpec
from memcalc.formats import Format
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Tensor
from memcalc.tensors.timeline import Segment, segments

LATENT_SCALE = 8
"""Pixels a side of one latent [AutoencoderKL with four levels: three halvings]."""


def _new(x: Tensor, width: int, op: str, fmt: Format | None = None) -> Tensor:
    """A tensor like ``x`` (batch, tokens, width) of another width or format."""
    return fresh(x.tape, (*x.shape[:-1], width), fmt or x.format, op)


def encode(batch: int, tokens: int, fmt: Format) -> list[Segment]:
    """T5's encoder block at its widest, over ``tokens`` of text: hidden states, the position bias for every head, and
    the gated feed-forward [transformers models/t5/modeling_t5.py: T5DenseGatedActDense]; the prompt's embeddings and
    CLIP's pooled vector stay."""
    tape = Tape(batch == 1)
    tape.grad_enabled = False
    tape.begin("encode", "text encoders")
    pooled = fresh(tape, (batch, CLIP_WIDTH), fmt, "pooled text")
    clip = fresh(tape, (batch, CLIP_TOKENS, CLIP_WIDTH), fmt, "CLIP hidden states")
    del clip
    embeds = fresh(tape, (batch, tokens, T5_WIDTH), fmt, "embedding")
    bias = fresh(tape, (1, T5_HEADS, tokens, tokens), fmt, "position bias")
    hidden = _new(embeds, T5_WIDTH, "add")
    normed = _new(embeds, T5_WIDTH, "norm")
    gate = _new(embeds, T5_INNER, "gelu")
    up = _new(embeds, T5_INNER, "mm")
    product = _new(embeds, T5_INNER, "mul")
    del gate, up, normed
    out = _new(embeds, T5_WIDTH, "mm")
    del product, bias, hidden, out
    parts = segments(tape)
    del pooled, embeds
    return parts


def denoise(spec: FluxSpec, batch: int, text: int, image: int, fmt: Format, scratch: int) -> list[Segment]:
    """One step of the transformer over ``text`` and ``image`` tokens: a double block, then single blocks. Equal blocks
    hold the same while they run, so one of each stands for all. ``scratch``: bytes of the largest matrix made whole
    for a moment from its quantised form."""
    tape = Tape(batch == 1)
    tape.grad_enabled = False
    tape.begin("denoise", "inputs")
    latents = fresh(tape, (batch, image, spec.in_channels), fmt, "latents")
    prompt = fresh(tape, (batch, text, spec.text_width), fmt, "prompt embeddings")
    rotary = [fresh(tape, (text + image, spec.head_dim), Format.FP32, name) for name in ("cos", "sin")]
    d = spec.width
    hidden = _new(latents, d, "mm")
    encoder = _new(prompt, d, "mm")
    temb = fresh(tape, (batch, d), fmt, "conditioning")
    tape.begin("denoise", f"double blocks 1–{spec.layers}")
    hidden, encoder = _double(spec, hidden, encoder, scratch)
    tape.begin("denoise", f"single blocks 1–{spec.single_layers}")
    hidden, encoder = _single(spec, hidden, encoder, scratch)
    tape.begin("denoise", "output")
    out = _new(latents, spec.in_channels, "mm")
    del hidden, encoder, out
    parts = segments(tape)
    del latents, prompt, rotary, temb
    return parts


def _product(x: Tensor, width: int, scratch: int) -> Tensor:
    """A linear layer; its weight is made whole for as long as it runs, if it is kept otherwise."""
    whole = fresh(x.tape, (scratch,), Format.BOOL, "dequantised weight") if scratch else None
    out = _new(x, width, "mm")
    del whole
    return out


def _modulated(x: Tensor) -> Tensor:
    """``norm(x) * (1 + scale) + shift``."""
    normed = _new(x, x.shape[-1], "layer_norm")
    scaled = _new(x, x.shape[-1], "mul")
    del normed
    return _new(scaled, x.shape[-1], "add")


def _rotated(x: Tensor) -> Tensor:
    """apply_rotary_emb: two products and their sum in fp32 [diffusers 0.42 models/embeddings.py]."""
    turned = _new(x, x.shape[-1], "stack")
    wide = _new(x, x.shape[-1], "to", Format.FP32)
    first = _new(wide, x.shape[-1], "mul")
    del wide
    wide = _new(turned, x.shape[-1], "to", Format.FP32)
    second = _new(wide, x.shape[-1], "mul")
    del wide
    total = _new(first, x.shape[-1], "add")
    del first, second
    return _new(total, x.shape[-1], "to", x.format)


def _double(spec: FluxSpec, hidden: Tensor, encoder: Tensor, scratch: int) -> tuple[Tensor, Tensor]:
    d = spec.width
    both = (hidden.shape[0], hidden.shape[1] + encoder.shape[1], d)
    normed, normed_text = _modulated(hidden), _modulated(encoder)
    sides = [[_product(one, d, scratch) for one in (normed, normed_text)] for _ in range(3)]
    for pair in sides[:2]:  # queries and keys are normed
        for i in range(2):
            pair[i] = _new(pair[i], d, "rms_norm")
    joined = [fresh(hidden.tape, both, hidden.format, "cat") for _ in range(3)]
    for i in range(2):
        joined[i] = _rotated(joined[i])
    out = _new(joined[0], d, "attention")
    image, text = _product(normed, d, scratch), _product(normed_text, d, scratch)
    del sides, joined, out, normed, normed_text
    gated = _new(image, d, "mul")
    hidden = _new(gated, d, "add")
    del gated, image
    hidden = _feed_forward(hidden, scratch)
    gated = _new(text, d, "mul")
    encoder = _new(gated, d, "add")
    del gated, text
    return hidden, _feed_forward(encoder, scratch)


def _feed_forward(x: Tensor, scratch: int) -> Tensor:
    d = x.shape[-1]
    normed = _modulated(x)
    wide = _product(normed, 4 * d, scratch)
    wide = _new(wide, 4 * d, "gelu")
    out = _product(wide, d, scratch)
    del wide, normed
    gated = _new(out, d, "mul")
    return _new(gated, d, "add")


def _single(spec: FluxSpec, hidden: Tensor, encoder: Tensor, scratch: int) -> tuple[Tensor, Tensor]:
    d = spec.width
    length = hidden.shape[1] + encoder.shape[1]
    residual = fresh(hidden.tape, (hidden.shape[0], length, d), hidden.format, "cat")
    normed = _modulated(residual)
    wide = _product(normed, 4 * d, scratch)
    wide = _new(wide, 4 * d, "gelu")
    query, key, value = (_product(normed, d, scratch) for _ in range(3))
    query, key = _new(query, d, "rms_norm"), _new(key, d, "rms_norm")
    query = _rotated(query)
    key = _rotated(key)
    out = _new(query, d, "attention")
    del query, key, value
    joined = _new(residual, 5 * d, "cat")
    made = _product(joined, d, scratch)
    gated = _new(made, d, "mul")
    del made, joined
    total = _new(gated, d, "add")
    del gated, wide, normed, out, residual
    # Text and image are views of one tensor.
    return total.view(hidden.shape[0], hidden.shape[1], d), total.view(encoder.shape[0], encoder.shape[1], d)


def decode(images: int, height: int, width: int, fmt: Format, slicing: bool, tile: int | None) -> list[Segment]:
    """The VAE's decoder from latents to pixels (``images``, 3, height, width). ``slicing``: one image at a time;
    ``tile``: pixels a side of what is decoded at once (None: whole pictures). What is decoded already waits for the
    rest; tiles overlap by a quarter and are joined at the end [diffusers 0.42 models/autoencoders/autoencoder_kl.py:
    decode, tiled_decode]."""
    tape = Tape()
    tape.grad_enabled = False
    tape.begin("decode", "latents")
    latents = fresh(tape, (images, LATENT_CHANNELS, height // LATENT_SCALE, width // LATENT_SCALE), fmt, "latents")
    slicing = slicing and images > 1
    tiled = tile is not None and max(height, width) > tile
    pixels = _tiled(height, tile) * _tiled(width, tile) if tile is not None and tiled else height * width
    pictures = fresh(tape, (images, 3, pixels), fmt, "pictures") if slicing or tiled else None
    if tile is not None and tiled:
        height, width = min(height, tile), min(width, tile)
    out = _decoder(tape, 1 if slicing else images, (height // LATENT_SCALE, width // LATENT_SCALE), fmt)
    del out
    parts = segments(tape)
    del latents, pictures
    return parts


def _tiled(side: int, tile: int) -> int:
    """Pixels of all tiles along one side, each starting three quarters of a tile after the one before.

    >>> _tiled(2048, 1024)
    2560
    """
    return sum(min(tile, side - start) for start in range(0, side, tile * 3 // 4))


Sides = tuple[int, int]
"""Height and width."""


def _map(tape: Tape, batch: int, channels: int, sides: Sides, fmt: Format, op: str) -> Tensor:
    return fresh(tape, (batch, channels, *sides), fmt, op)


def _decoder(tape: Tape, batch: int, sides: Sides, fmt: Format) -> Tensor:
    """[diffusers 0.42 models/autoencoders/vae.py: Decoder.forward]; the caller's variable holds each block's input
    until the block is done."""
    channels = tuple(reversed(VAE_CHANNELS))
    tape.begin("decode", "middle")
    sample = _map(tape, batch, channels[0], sides, fmt, "conv (in)")
    sample = _resnet(sample, channels[0])
    attended = [_map(tape, batch, channels[0], sides, fmt, "attention") for _ in range(5)]
    del attended
    sample = _resnet(sample, channels[0])
    for i, width in enumerate(channels):
        tape.begin("decode", f"level {i + 1} of {len(channels)}, {sides[1]} × {sides[0]}")
        hidden = sample
        for _ in range(3):
            hidden = _resnet(hidden, width)
        if i < len(channels) - 1:
            sides = (2 * sides[0], 2 * sides[1])
            hidden = _map(tape, batch, width, sides, fmt, "upsample")
            hidden = _map(tape, batch, width, sides, fmt, "conv (upsample)")
        sample = hidden
        del hidden
    tape.begin("decode", "pixels")
    sample = _normed(sample)
    return _map(tape, batch, 3, sides, fmt, "conv (out)")


def _resnet(x: Tensor, width: int) -> Tensor:
    """[diffusers 0.42 models/resnet.py: ResnetBlock2D.forward]"""
    tape, (batch, channels, *sides), fmt = x.tape, x.shape, x.format
    side = (sides[0], sides[1])
    hidden = _normed(x)
    hidden = _map(tape, batch, width, side, fmt, "conv")
    hidden = _normed(hidden)
    hidden = _map(tape, batch, width, side, fmt, "conv")
    if channels != width:
        x = _map(tape, batch, width, side, fmt, "conv (shortcut)")
    total = _map(tape, batch, width, side, fmt, "add")
    out = _map(tape, batch, width, side, fmt, "div")
    del x, hidden, total
    return out


def _normed(x: Tensor) -> Tensor:
    """``silu(group_norm(x))``."""
    batch, channels, height, width = x.shape
    normed = _map(x.tape, batch, channels, (height, width), x.format, "group_norm")
    return _map(x.tape, batch, channels, (height, width), normed.format, "silu")
