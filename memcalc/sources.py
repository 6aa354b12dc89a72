"""Where each rule comes from: the file that an operator's or an optimizer's memory was read in."""

from __future__ import annotations

_TORCH = "torch 2.13"
_HF = "transformers 5.23"
_ZERO = "DeepSpeed 0.19.8, runtime/zero/"
_FSDP = f"{_TORCH}, torch/distributed/fsdp/_fully_shard/"

SOURCES = {
    "parameter": f"{_HF}, the model's named_parameters()",
    "buffer": f"{_HF}, the model's buffers",
    "gradient": f"{_TORCH}, torch/csrc/autograd/functions/accumulate_grad.h",
    "embedding": f"{_TORCH}, aten/src/ATen/native/Embedding.cpp",
    "mm": f"{_TORCH}, tools/autograd/derivatives.yaml: mm, addmm",
    "bmm": f"{_TORCH}, tools/autograd/derivatives.yaml: bmm",
    "flash attention": f"{_TORCH}, derivatives.yaml: _scaled_dot_product_flash_attention",
    "efficient attention": f"{_TORCH}, derivatives.yaml: _scaled_dot_product_efficient_attention",
    "logsumexp": f"{_TORCH}, derivatives.yaml: _scaled_dot_product_flash_attention",
    "softmax": f"{_TORCH}, aten/src/ATen/native/SoftMax.cpp",
    "safe_softmax": f"{_TORCH}, aten/src/ATen/native/transformers/attention.cpp: _scaled_dot_product_attention_math",
    "layer_norm": f"{_TORCH}, derivatives.yaml: native_layer_norm",
    "dropout": f"{_TORCH}, derivatives.yaml: native_dropout",
    "dropout mask": f"{_TORCH}, derivatives.yaml: native_dropout",
    "silu": f"{_TORCH}, derivatives.yaml: silu",
    "gelu": f"{_TORCH}, derivatives.yaml: gelu",
    "tanh": f"{_TORCH}, derivatives.yaml: tanh",
    "pow": f"{_TORCH}, derivatives.yaml: pow.Tensor_Scalar",
    "rsqrt": f"{_TORCH}, derivatives.yaml: rsqrt",
    "mul": f"{_TORCH}, derivatives.yaml: mul.Tensor",
    "add": f"{_TORCH}, derivatives.yaml: add.Tensor",
    "exp": f"{_TORCH}, derivatives.yaml: exp",
    "softplus": f"{_TORCH}, derivatives.yaml: softplus",
    "clamp": f"{_TORCH}, derivatives.yaml: clamp",
    "maximum": f"{_TORCH}, derivatives.yaml: maximum",
    "convolution": f"{_TORCH}, derivatives.yaml: convolution",
    "constant_pad_nd": f"{_TORCH}, aten/src/ATen/native/PadNd.cpp",
    "clone": f"{_TORCH}, a copy in another order",
    "kept by tokens": f"{_HF}, the model code's loop over the tokens",
    "results by token": f"{_HF}, the model code's loop over the tokens",
    "cat (cache)": f"{_HF}, cache_utils.py: DynamicLayer.update",
    "repeat_kv": f"{_HF}, integrations/sdpa_attention.py: repeat_kv",
    "to": f"{_TORCH}, a copy in another format",
    "to (weight)": f"{_TORCH}, aten/src/ATen/autocast_mode.cpp: cached_cast",
    "log_softmax": f"{_TORCH}, derivatives.yaml: _log_softmax",
    "nll_loss (gradient)": f"{_TORCH}, derivatives.yaml: nll_loss_forward",
    "log_softmax (gradient)": f"{_TORCH}, derivatives.yaml: _log_softmax",
    "causal mask": f"{_HF}, masking_utils.py",
    "additive mask": f"{_HF}, masking_utils.py",
    "adamw": f"{_TORCH}, torch/optim/adam.py",
    "adam": f"{_TORCH}, torch/optim/adam.py",
    "sgd": f"{_TORCH}, torch/optim/sgd.py",
    "sgd-momentum": f"{_TORCH}, torch/optim/sgd.py",
    "adagrad": f"{_TORCH}, torch/optim/adagrad.py",
    "rmsprop": f"{_TORCH}, torch/optim/rmsprop.py",
    "adafactor": f"{_TORCH}, torch/optim/_adafactor.py",
    "adafactor-hf": f"{_HF}, optimization.py: Adafactor",
    "nadam": f"{_TORCH}, torch/optim/nadam.py",
    "radam": f"{_TORCH}, torch/optim/radam.py",
    "adamax": f"{_TORCH}, torch/optim/adamax.py",
    "adadelta": f"{_TORCH}, torch/optim/adadelta.py",
    "muon": f"{_TORCH}, torch/optim/_muon.py, and adam.py for the rest",
    "lion": "pytorch_optimizer 4.1, optimizer/lion.py",
    "lamb": "pytorch_optimizer 4.1, optimizer/lamb.py",
    "adam-mini": "adam_mini 1.1.1, adam_mini.py",
    "galore": "galore_torch 1.0, adamw.py and galore_projector.py",
    "apollo": "apollo_torch 1.0.3, apollo.py and random_projector.py",
    "adamw-8bit": "bitsandbytes, optim/optimizer.py: Optimizer2State.init_state",
    "paged-adamw-8bit": "bitsandbytes, optim/optimizer.py: get_state_buffer",
    "paged-adamw-32bit": "bitsandbytes, optim/optimizer.py: get_state_buffer",
    "lion-8bit": "bitsandbytes, optim/optimizer.py: Optimizer1State.init_state",
    "identity matrix": "peft 0.21, tuners/lora/dora.py: get_lora_weight",
    "scaled adapter product": "peft 0.21, tuners/lora/dora.py: get_weight_norm",
    "adapted weight": "peft 0.21, tuners/lora/dora.py: get_weight_norm",
    "row norms": "peft 0.21, tuners/lora/dora.py: get_weight_norm",
    "to (base weight)": "peft 0.21, tuners/lora/dora.py: forward",
    "copy from the host": f"{_TORCH}, torch/autograd/graph.py: save_on_cpu",
    "norms of the gradients": f"{_TORCH}, torch/nn/utils/clip_grad.py",
    "dequantised weight": "bitsandbytes, functional.py: dequantize_4bit",
    "rms_norm (fused)": "liger_kernel 0.8.5, ops/rms_norm.py",
    "swiglu (fused)": "liger_kernel 0.8.5, ops/swiglu.py",
    "logits of one chunk": "liger_kernel 0.8.5, ops/fused_linear_cross_entropy.py",
    "master weights": "Micikevicius et al. 2018 (arXiv 1710.03740): fp32 master copies",
    "FSDP2 shard": f"{_FSDP}_fsdp_param.py: FSDPParam._init_sharded_param",
    "gathered parameter": f"{_FSDP}_fsdp_param.py: init_all_gather_outputs, alloc_all_gather_outputs",
    "all-gather buffer": f"{_FSDP}_fsdp_collectives.py: foreach_all_gather",
    "all-gather input": f"{_FSDP}_fsdp_collectives.py: _get_param_all_gather_inputs",
    "shard (from the host)": f"{_FSDP}_fsdp_param.py: all_gather_inputs",
    "reduce-scatter input": f"{_FSDP}_fsdp_collectives.py: foreach_reduce",
    "reduce-scatter output": f"{_FSDP}_fsdp_collectives.py: foreach_reduce",
    "DDP bucket": f"{_TORCH}, torch/csrc/distributed/c10d/reducer.cpp: initialize_buckets",
    "all-gather (sequence)": f"{_TORCH}, torch/distributed/tensor/parallel/style.py: SequenceParallel",
    "reduce-scatter (sequence)": f"{_TORCH}, torch/distributed/tensor/parallel/style.py: SequenceParallel",
    "flat buffer": f"{_ZERO}stage_1_and_2.py: flatten_dense_tensors_aligned",
    "reduce bucket": f"{_ZERO}stage_1_and_2.py: setup_buckets; stage3.py: _setup_for_real_optimizer",
    "flattened bucket": f"{_ZERO}stage_1_and_2.py: allreduce_bucket",
    "gradient partition": f"{_ZERO}stage_1_and_2.py: copy_grads_in_partition; stage3.py: grad_partitions_flat_buffer",
    "offload buffer": f"{_ZERO}stage_1_and_2.py: temp_grad_buffer_for_gpu_offload",
    "ZeRO-3 shard": f"{_ZERO}partition_parameters.py: _partition_param",
    "gathered tensors (ZeRO-3)": f"{_ZERO}partitioned_param_coordinator.py: fetch_sub_module, __params_to_release",
    "interleaved bucket": "DeepSpeed 0.19.8, runtime/comm/coalesced_collectives.py: reduce_scatter_coalesced",
    "ema": "a copy of the trained weights, as moving averages keep",
}
GRADIENTS = f"{_TORCH}, torch/csrc/autograd/FunctionsManual.cpp"
MODEL_CODE = f"{_HF}, the model's forward()"


def source_of(op: str) -> str:
    """The source of the rule behind ``op``, in words."""
    if op in SOURCES:
        return SOURCES[op]
    if op.endswith("gradient)") or op.endswith("(gradients)"):
        return GRADIENTS
    return MODEL_CODE
