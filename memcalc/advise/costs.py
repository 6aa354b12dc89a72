"""What each change costs, with sources. Papers by arXiv number."""

from __future__ import annotations

from memcalc.advise.changes import Cost

FUSED = Cost("None: the same arithmetic in one kernel, and usually faster.", 0,
             source="torch.optim; Hugging Face's Trainer has it as default")  # fmt: skip
SET_TO_NONE = Cost("None: it is torch's own default.", 0, source="torch.optim.Optimizer.zero_grad")
EXPANDABLE = Cost("An environment variable, PYTORCH_ALLOC_CONF=expandable_segments:True. Not on Windows; tensors "
                  "cannot be shared with other processes.", 1, source="pytorch.org/docs, CUDA semantics")  # fmt: skip
FUSED_LOSS = Cost("A package (liger-kernel). The result is the same up to rounding.", 1, source="2410.10989")
LIGER = Cost("A package (liger-kernel): fused norms, feed-forwards and rotations. Same result up to rounding.", 1,
             source="2410.10989")  # fmt: skip
FLASH = Cost(
    "None: the same result up to rounding, and faster, the more so for long sequences.", 0, source="2205.14135"
)
NO_PADDING = Cost("Sequences have to be packed, or sorted by length, so that none is padded.", 2)
NO_EMA = Cost("No averaged weights at the end; they are often a little better than the last ones.", 3)
GRADS_16 = Cost("16-bit gradients are added up with fewer digits, which tells over many micro-batches.", 3)

CHECKPOINTING = Cost("The forward pass is computed a second time.", 3, "+30 % time", "1604.06174")
SELECTIVE_ATTENTION = Cost("Only the attention core is computed a second time.", 2, "a few % time", "2205.05198")
SELECTIVE_OPS = Cost("Everything but matrix products and attention is computed again.", 2, "+10 % time or less",
                     "torch.utils.checkpoint, selective activation checkpointing; size assumed")  # fmt: skip
SMALLER_BATCH = Cost(
    "The same gradients in more, smaller pieces: slower only where small pieces leave the GPU idle.", 2
)
OFFLOAD_ACTIVATIONS = Cost("What is kept for backward travels to the computer's memory and back.", 5)

OPTIMIZERS = {
    "adamw-8bit": Cost("A package (bitsandbytes). States in 8 bits: results as with 32 bits where it was tried.", 3,
                       source="2110.02861"),
    "paged-adamw-8bit": Cost("A package (bitsandbytes). As 8-bit; what does not fit waits in the computer's memory, "
                             "and every step waits for them.", 5, "slower steps while it pages", "2305.14314"),
    "adafactor": Cost("Second moments by row and column, no first: the learning rate has to be found again.", 5,
                      source="1804.04235"),
    "lion": Cost("One average in place of two: learning rate and weight decay have to be found again.", 5,
                 source="2302.06675"),
    "sgd": Cost("No memory of earlier gradients: transformers usually train much worse.", 8),
}  # fmt: skip

PRECISIONS = {
    "bf16-mixed": Cost("Products in 16 bits over 32-bit weights: what most training does, and faster.", 1,
                       source="1710.03740, 1905.12322"),
    "fp16-mixed": Cost("Products in fp16 over 32-bit weights, with a gradient scaler.", 2, source="1710.03740"),
    "bf16-master": Cost("16-bit weights and gradients beside a 32-bit master copy.", 2, source="1710.03740"),
    "bf16": Cost("All in 16 bits, without a master copy: small updates get lost.", 5, source="1710.03740, section 3.1"),
}  # fmt: skip
METHODS = {
    "lora": Cost("Only small adapters learn: less is learned than by full training, and less is forgotten.", 8,
                 "faster steps", "2106.09685, 2405.09673"),
    "qlora": Cost("Adapters over 4-bit weights, which are unpacked at every use.", 11, "about +30 to 40 % time",
                  "2305.14314; time: Raschka 2023, Finetuning LLMs with LoRA and QLoRA"),
    "head": Cost("Only the output layer learns: for new labels, not for new abilities.", 13),
}  # fmt: skip
QLORA_FROM_LORA = Cost("The same adapters over 4-bit weights, unpacked at every use.", 5, "about +30 to 40 % time",
                       "2305.14314; time: Raschka 2023, Finetuning LLMs with LoRA and QLoRA")  # fmt: skip
SMALLER_RANK = Cost("Adapters of half the width learn a little less.", 3, source="2106.09685, section 7.2")
FEWER_TARGETS = Cost("Adapters on attention only, not on all linear layers: they learn less.", 5, source="2305.14314")
ADAPTERS_16 = Cost("Adapters and their optimizer states in 16 bits: small updates get lost.", 3)
SHORTER = Cost("Texts longer than that are cut, or split.", 8)
SMALLER_MODEL = Cost("Another model, which knows less.", 13)

SHARDING = {
    "zero1": Cost("More cards. Optimizer states are split between them.", 8, "as data parallel", "1910.02054"),
    "zero2": Cost("More cards. Optimizer states and gradients are split between them.", 8, "as data parallel",
                  "1910.02054"),
    "zero3": Cost("More cards. Weights are split too, and sent around for every layer.", 9, "1.5 times the traffic",
                  "1910.02054"),
    "fsdp2": Cost("More cards. Weights are split too, and sent around for every layer.", 9, "1.5 times the traffic",
                  "2304.11277"),
}  # fmt: skip
OFFLOADS = {
    "optimizer": Cost("Optimizer states live in the computer's memory, and the step runs there.", 6,
                      "much slower steps", "2101.06840"),
    "parameters": Cost("Weights too live in the computer's memory and come layer by layer.", 9, "much slower",
                       "2104.07857"),
}  # fmt: skip

WEIGHTS_16 = Cost("16-bit weights: how most models are published.", 1)
WEIGHTS_8 = Cost("8-bit weights: hardly any loss of quality where it was measured; int8 is slower on small batches.", 3,
                 source="2208.07339")  # fmt: skip
WEIGHTS_6 = Cost("About 6 bits a weight: hardly any loss.", 3, source="llama.cpp, k-quants, pull request 1684")
WEIGHTS_5 = Cost("About 5 bits a weight: a small loss.", 4, source="llama.cpp, k-quants, pull request 1684")
WEIGHTS_4 = Cost("4-bit weights: a small loss of quality, more for small models.", 5,
                 source="2210.17323, 2306.00978, 2212.09720")  # fmt: skip
WEIGHTS_3 = Cost("3 bits a weight or fewer: a plain loss of quality.", 8, source="2212.09720")
CACHE_8 = Cost("8-bit keys and values: hardly any loss where it was measured.", 3, source="2401.18079")
CACHE_4 = Cost("4-bit keys and values: a small loss, more for long contexts.", 5, source="2402.02750")
FEWER_AT_ONCE = Cost("Half as many are answered at once; the rest wait.", 5, "up to half the throughput")
SHORTER_CONTEXT = Cost("Longer prompts are cut.", 8)
FEWER_NEW = Cost("Longer answers are cut.", 8)
ONE_BEAM = Cost("Greedy or sampled answers in place of a beam search.", 5)
LAST_LOGITS = Cost("No scores of the prompt's own tokens.", 1)
FEWER_LAYERS = Cost("Those layers run on the processor.", 5, "several times slower for each layer moved")
SMALLER_UBATCH = Cost("Prompts are read in smaller pieces.", 2, "slower prompts")

_DIFFUSERS = "huggingface.co/docs/diffusers, Reduce memory usage"
MODEL_OFFLOAD = Cost("One model at a time on the card; each travels there once a picture. All weights wait in the "
                     "computer's memory.", 2, "some seconds a picture", _DIFFUSERS)  # fmt: skip
SEQUENTIAL_OFFLOAD = Cost("One layer at a time on the card: all weights travel at every step. They wait in the "
                          "computer's memory.", 9, "many times slower", _DIFFUSERS)  # fmt: skip
VAE_SLICING = Cost("Pictures leave the VAE one after another. The same pictures.", 1, source=_DIFFUSERS)
VAE_TILING = Cost("The VAE decodes overlapping tiles, which are blended: tones may differ a little between them.", 2,
                  source=_DIFFUSERS)  # fmt: skip
IMAGES_16 = Cost("16-bit weights and arithmetic: the usual way to run these models.", 1)
IMAGES_8 = Cost("8-bit weights: pictures change a little.", 3,
                source="huggingface/blog diffusers-quantization.md")  # fmt: skip
IMAGES_4 = Cost("4-bit weights, unpacked at every use: pictures change.", 5,
                source="huggingface/blog diffusers-quantization.md")  # fmt: skip
SMALLER_PICTURES = Cost("Pictures of about half the area.", 8)
FEWER_PICTURES = Cost("Half as many pictures at once; the rest come after.", 5, "up to half the throughput")
VAE_16 = Cost("Another VAE (madebyollin/sdxl-vae-fp16-fix), finetuned so that fp16 does not overflow. Pictures differ "
              "a little.", 1, source="huggingface.co/madebyollin/sdxl-vae-fp16-fix")  # fmt: skip
NO_T5 = Cost("Long or precise prompts, and lettering, are followed less well.", 5, source="2403.03206, section 5.3")
NO_GUIDANCE = Cost("Prompts are followed loosely, unless the model was distilled for it.", 8, "half the time")
