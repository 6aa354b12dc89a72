"""A described model as a short text, fit for a link: JSON, compressed, in the alphabet of addresses.

The text is a version's digit and base64url [RFC 4648, section 5] of a zlib stream [RFC 1950] whose dictionary holds
the words of configurations. Whoever reads one trusts nothing: lengths are limited before and after decompression, and
the model is described anew by the same reader as a file.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from memcalc.errors import ModelError
from memcalc.models import config, portable

VERSION: Final = "1"
LONGEST: Final = 3000
"""Characters in a link: with every other setting it stays below the 8 KiB that servers and proxies usually take."""
LARGEST: Final = 256 * 1024
"""Bytes of JSON: the description of a large GGUF file has some 4 KiB."""
FIELD: Final = "model"
# Frozen: a text of version 1 can be read with these very bytes only. What is common stands at the end.
_WORDS: Final = (
    b'"query_pre_attn_scalar":"moe_layer_freq":"n_group":"topk_group":"topk_method":"greedy""norm_topk_prob":true,'
    b'"scoring_func":"q_lora_rank":null,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":'
    b'"n_shared_experts":"n_routed_experts":"first_k_dense_replace":"mlp_only_layers":[],"decoder_sparse_step":1,'
    b'"shared_expert_intermediate_size":"moe_intermediate_size":"num_experts_per_tok":8,"num_local_experts":'
    b'"num_experts":128,"partial_rotary_factor":"rope_parameters":"rope_scaling":{"attention_softcap'
    b'"final_logit_softcapping":"attn_logit_softcapping":"hidden_activation":"gelu_pytorch_tanh","n_positions":1024,'
    b'"n_embd":768,"n_layer":"n_head":12,"n_inner":null,"activation_function":"gelu_new","resid_pdrop":0.0,'
    b'"embd_pdrop":"attn_pdrop":"layer_types":["full_attention","sliding_attention","sliding_window_pattern":'
    b'"max_window_layers":"use_sliding_window":false,"sliding_window":4096,"quantization_config":{"config_groups":'
    b'{"group_0":{"weights":{"num_bits":4,"type":"int","strategy":"group","group_size":128,"symmetric":true'
    b'"targets":["Linear"],"ignore":["lm_head"],"weight_block_size":[128,128],"modules_to_not_convert":["lm_head"],'
    b'"load_in_4bit":true,"load_in_8bit":"bnb_4bit_quant_type":"nf4","bnb_4bit_use_double_quant":"desc_act":false,'
    b'"bits":4,"quant_method":"compressed-tensors""bitsandbytes""mxfp4""fp8""awq""gptq"'
    b'"stored":{"bytes":,"tensors":[["token_embd.weight",[4096,"output_norm.weight",[4096],"F32"],"output.weight",['
    b'],"Q8_0","0-31"],["IQ4_XS","Q5_K","Q3_K","BF16","F16","blk.*.attn_norm.weight",[],"F32","0-"],'
    b'["blk.*.ffn_norm.weight",["blk.*.attn_q.weight",["blk.*.attn_k.weight",["blk.*.attn_output.weight",['
    b'"blk.*.ffn_gate_inp.weight"_exps.weight"blk.*.ffn_gate.weight",["blk.*.ffn_up.weight",[],"Q4_K","0-'
    b'"blk.*.attn_v.weight",[],"Q6_K","0-3,6,9,12,15,18,21,24,27-31"],["blk.*.ffn_down.weight",['
    b'{"config":{"model_type":"mixtral"qwen3_moe"gemma3_text"phi3"gpt2"mistral"qwen2"qwen3","architectures":["Qwen3'
    b'LlamaForCausalLM"],"vocab_size":151936,32000,128256,"hidden_size":4096,"intermediate_size":14336,'
    b'"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"head_dim":128,'
    b'"max_position_embeddings":131072,32768,"hidden_act":"silu","tie_word_embeddings":false,'
    b'"attention_bias":false,"mlp_bias":false,"attention_dropout":0.0},"name":"-Instruct","repository":"'
)


def pack(model: Mapping[str, Any]) -> str:
    """A model that describes itself (``portable.carried``) as a text."""
    text = json.dumps(model, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    press = zlib.compressobj(9, zdict=_WORDS)
    return VERSION + base64.urlsafe_b64encode(press.compress(text) + press.flush()).decode().rstrip("=")


def unpack(text: str, longest: int = LONGEST) -> dict[str, Any]:
    """The model in a text, described by nobody but itself; ModelError where it cannot be one."""
    if len(text) > longest:
        raise ModelError(f"it is longer than {longest:,} characters", FIELD)
    if text[:1] != VERSION:
        raise ModelError("it was made by another version of memcalc", FIELD)
    model = config.parsed(_inflated(text[1:]), "it", FIELD)
    if not isinstance(model.get("config"), dict):
        raise ModelError("it has no configuration", FIELD)
    portable.describe(model)
    return model


def _inflated(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        reader = zlib.decompressobj(zdict=_WORDS)
        found = reader.decompress(data, LARGEST)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise ModelError("it was cut short or changed on the way", FIELD) from error
    if reader.unconsumed_tail:
        raise ModelError(f"it holds more than {LARGEST // 1024} KiB", FIELD)
    if not reader.eof or reader.unused_data:
        raise ModelError("it was cut short or changed on the way", FIELD)
    return found
