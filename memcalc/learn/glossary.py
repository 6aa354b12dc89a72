"""The words of the trade, each once: one sentence, its formula, and the lesson that looks at it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word, what it means in one sentence, its formula or a figure (empty where there is none), and the number of
    the lesson that looks at it (0: none does)."""

    name: str
    sentence: str
    formula: str = ""
    lesson: int = 0


ALL = (
    Term(
        "GPU",
        "A processor, most often on a card, with memory of its own: all that it works on must be in there.",
        "fits: peak ≤ memory of the card",
        1,
    ),
    Term(
        "parameter",
        "One of the numbers that a model consists of and that training changes, also called a weight.",
        "weights = parameters × bytes of the format; 8 billion in bf16: 8 × 10⁹ × 2 B = 14.9 GiB",
        1,
    ),
    Term(
        "fp32 and bf16",
        "Formats of a number: fp32 has 32 bits, bf16 and fp16 have 16, half the memory and fewer digits.",
        "fp32: 4 B; bf16, fp16: 2 B; 8 bits: 1 B; 4 bits: ½ B",
        6,
    ),
    Term(
        "token",
        "What a model reads and writes: a word or a piece of one.",
        "a page of English text: about 500 tokens",
        1,
    ),
    Term(
        "sequence",
        "One text as the model reads it, a row of tokens.",
        "tokens in memory = sequences × tokens per sequence",
        1,
    ),
    Term(
        "batch",
        "The sequences that are worked on at once.",
        "memory = fixed part + batch × memory of one sequence",
        3,
    ),
    Term(
        "forward pass",
        "The way through the model from tokens to an answer; in training, on to the loss, a number for how wrong the "
        "answer is.",
        "operations: 2 for each parameter and token",
        1,
    ),
    Term(
        "backward pass",
        "The way back through the model after the forward pass, on which every trained parameter gets its gradient.",
        "operations: forward 2, backward 4 for each parameter and token",
        1,
    ),
    Term(
        "gradient",
        "Which way and how far a trained parameter should move, as the backward pass finds out.",
        "gradients = trained parameters × bytes of their format",
        1,
    ),
    Term(
        "optimizer",
        "The rule, most often AdamW, that turns gradients into new parameters, with numbers of its own to remember.",
        "AdamW: weight ← weight − rate × average ÷ (√average of squares + ε)",
        1,
    ),
    Term(
        "optimizer states",
        "What the optimizer remembers about each trained parameter between steps.",
        "Adam in 32 bits: trained parameters × 2 averages × 4 B",
        1,
    ),
    Term(
        "activations",
        "Results of the forward pass, kept until the backward pass has used them.",
        "activations = tokens worked on at once × bytes per token",
        1,
    ),
    Term(
        "training step",
        "Forward pass, backward pass and optimizer, after which all parameters have moved.",
        "forward pass, then backward pass, then optimizer",
        9,
    ),
    Term(
        "inference",
        "Using a trained model: it reads a prompt (prefill) and writes new tokens one by one (decode).",
        "memory = weights + KV cache + temporaries",
        2,
    ),
    Term(
        "prefill and decode",
        "Prefill reads the whole prompt and gives the first new token; decode gives each further one.",
        "new tokens = 1 by prefill + the rest by decode",
        8,
    ),
    Term(
        "micro-batch",
        "The sequences that go through the model together on one card.",
        "tokens in memory = micro-batch × tokens per sequence",
        4,
    ),
    Term(
        "gradient accumulation",
        "Adding up the gradients of several micro-batches, of which only one is in memory at a "
        "time, before the optimizer takes one step.",
        "batch of a step = micro-batch × accumulated × cards",
        4,
    ),
    Term(
        "gradient checkpointing",
        "Keeping only the input of each block and computing the rest again in the backward pass.",
        "operations: 6 → 8 for each parameter and token, a third more",
        4,
    ),
    Term(
        "activation offload",
        "Keeping what the backward pass needs in the computer's main memory until then.",
        "kept on the card ≈ the tensors on their way",
    ),
    Term(
        "mixed precision",
        "Parameters stay in 32 bits while 16-bit copies of them are computed with: fast, but not half the memory.",
        "4 B weight + 4 B gradient + 8 B Adam = 16 B for each parameter; 2 B of copy from forward to backward",
        6,
    ),
    Term(
        "master weights",
        "A 32-bit copy of 16-bit parameters, in which small updates are not lost.",
        "2 B weight + 2 B gradient + 4 B copy + 8 B Adam = 16 B for each parameter",
        6,
    ),
    Term(
        "quantisation",
        "Storing weights in few bits, in blocks that share a scale.",
        "bits per weight = bits + bits of the scale ÷ values in a block; Q4_0: 4 + 16 ÷ 32 = 4.5",
        6,
    ),
    Term(
        "LoRA",
        "Training small matrices beside frozen parameters.",
        "adapter of an out × in matrix: rank × (in + out) parameters",
        7,
    ),
    Term(
        "QLoRA",
        "LoRA beside frozen parameters that are kept in 4 bits.",
        "NF4, scales quantised: 4 + 8 ÷ 64 + 32 ÷ (64 × 256) = 4.127 bits a weight",
        7,
    ),
    Term(
        "head",
        "One of several attention computations side by side, each over its own part of the values.",
        "heads × values per head = width of the attention",
        8,
    ),
    Term(
        "KV cache",
        "Keys and values of every token so far, kept so that a new token needs only its own computation.",
        "2 × layers × key heads × values per head × bytes, for each token of each sequence",
        8,
    ),
    Term(
        "grouped-query attention",
        "Several query heads share one head of keys and values: a smaller KV cache.",
        "KV cache ÷ (query heads ÷ key heads)",
        8,
    ),
    Term(
        "latent attention",
        "Keys and values are kept as one short vector for each token, and worked out again.",
        "(rank + rotary values) × layers × bytes, for each token",
        8,
    ),
    Term(
        "sliding window",
        "A layer that looks back over so many tokens only, and need keep no more.",
        "cached tokens = min(tokens, window)",
    ),
    Term(
        "eager attention",
        "Attention that writes down the score of every token for every other.",
        "scores = heads × tokens² × bytes, for each sequence",
        8,
    ),
    Term(
        "flash attention",
        "Attention computed block by block, without ever holding all scores.",
        "kept: heads × tokens × 4 B for each sequence, in place of the scores",
        8,
    ),
    Term(
        "logits",
        "One number for each word of the vocabulary and each position: what the model thinks comes next.",
        "tokens × vocabulary × bytes; the loss needs them in 32 bits as well",
        9,
    ),
    Term(
        "peak",
        "The highest instant of a run, which decides whether it fits.",
        "peak = max over time of the sum of all live tensors",
        9,
    ),
    Term(
        "temporary and overhead",
        "Temporary is what lives only for a moment, overhead what libraries and PyTorch's allocator take on top of all "
        "tensors.",
        "overhead = library workspaces + allocator’s reserve, free for later tensors + CUDA context",
        9,
    ),
    Term(
        "mixture of experts",
        "A model whose blocks hold many feed-forward parts, of which each token goes through a few.",
        "stored: all experts; computed: the chosen ones",
    ),
    Term(
        "replica and shard",
        "A replica is a whole copy of the model on each card; a shard is one card's part of it.",
        "replica: all of it on each card; shard: all of it ÷ cards",
        10,
    ),
    Term(
        "ZeRO",
        "Dividing optimizer states (stage 1), gradients as well (2) and weights as well (3) over the cards.",
        "stage 1: 2 + 2 + 12 ÷ N, 2: 2 + 14 ÷ N, 3: 16 ÷ N bytes a parameter on N cards",
        10,
    ),
    Term(
        "tensor parallel",
        "Splitting every matrix over several cards, which work on the same tokens.",
        "weights ÷ cards, and a sum over the cards twice in each block",
    ),
    Term(
        "workspace",
        "Scratch memory that libraries such as cuBLAS take for themselves while they multiply matrices.",
        "8 MiB on most cards, 32 MiB on Hopper, for each handle and stream",
    ),
    Term("allocated", "What PyTorch's tensors take, each rounded up.", "each tensor: ⌈bytes ÷ 512⌉ × 512 B"),
    Term(
        "reserved",
        "What PyTorch has taken from the driver: its tensors and the gaps between them.",
        "reserved = allocated + gaps; nvidia-smi shows reserved + CUDA context",
    ),
    Term(
        "CUDA context",
        "What the driver and the CUDA libraries keep on the card for each process.",
        "some 300 to 600 MiB for each process and card",
    ),
    Term(
        "GiB and GB",
        "Two units that differ by 7 %: memory is built in powers of two and sold in powers of ten.",
        "1 GiB = 2³⁰ B = 1,073,741,824 B; 1 GB = 10⁹ B; 16 GiB = 17.2 GB",
    ),
    Term(
        "block",
        "One of the equal stretches that a model is built of, most often attention and a feed-forward part.",
        "model = embedding + blocks + head; Llama-3.1-8B has 32 of them",
        9,
    ),
    Term(
        "embedding",
        "The table that has a row of values for each word of the vocabulary.",
        "vocabulary × width × bytes; Llama-3.1-8B: 128,256 × 4,096 × 2 B = 0.979 GiB",
    ),
    Term(
        "range",
        "The lowest and the highest figure that the answer may really have, for reasons that are listed below it.",
        "fits: high end ≤ capacity − reserve; does not fit: low end above it; tight: between",
    ),
    Term(
        "bandwidth",
        "How many bytes a card’s memory moves in a second, which bounds how fast one text is written.",
        "time of a new token ≥ (weights + KV cache) ÷ bandwidth",
    ),
    Term(
        "MIG device",
        "A slice of an NVIDIA GPU with memory of its own, which programs see as a GPU.",
        "capacity = that of the slice, whatever the other slices hold",
    ),
    Term(
        "trace",
        "A run of the model’s real code on tensors that have a shape and no memory, which shows what lives when.",
        "error = estimate’s tensors ÷ trace’s tensors − 1",
    ),
    Term(
        "checkpoint",
        "A file from which a training can go on: the weights and what the optimizer remembers.",
        "weights + optimizer states; AdamW in mixed precision: 4 + 8 B for each parameter",
    ),
    Term(
        "DPO",
        "Learning from pairs of answers of which one is preferred, most often beside a frozen copy of the model.",
        "sequences in a micro-batch = pairs × 2",
    ),
    Term(
        "GRPO",
        "Learning from rewards for several answers that the model itself writes to each prompt.",
        "advantage of an answer = (its reward − the group’s mean) ÷ the group’s spread",
    ),
    Term(
        "text encoder",
        "The model of an image pipeline that turns the prompt into numbers.",
        "memory = its weights + what one pass over the prompt needs",
    ),
    Term(
        "denoiser",
        "The model of an image pipeline that turns noise into a picture’s latents, step by step.",
        "passes = steps; with guidance by an empty prompt each over twice as many latents",
    ),
    Term(
        "VAE and latents",
        "Latents are a small form of a picture, and the VAE is the model that turns them into pixels.",
        "pixels = latents × 8 each way in FLUX.1, SDXL and Stable Diffusion",
    ),
    Term(
        "16 GB card",
        "Here, the smallest capacity that a driver reports for a consumer card sold with 16 GB.",
        "16 GiB − what the driver keeps",
    ),
)

TERMS = {one.name: one for one in ALL}
