"""The program that runs each family."""

from __future__ import annotations

from memcalc.architectures.bamba import Bamba, Granite4
from memcalc.architectures.bart import Bart
from memcalc.architectures.bert import Bert, DistilBert, Roberta
from memcalc.architectures.bloom import Bloom
from memcalc.architectures.cohere import Cohere, Cohere2
from memcalc.architectures.convnext import ConvNeXt
from memcalc.architectures.convnext_torchvision import TorchvisionConvNeXt
from memcalc.architectures.deepseek import DeepSeekV2, DeepSeekV3
from memcalc.architectures.dit import DiT
from memcalc.architectures.falcon import Falcon
from memcalc.architectures.falcon_alibi import FalconAlibi
from memcalc.architectures.falcon_h1 import FalconH1
from memcalc.architectures.gemma import Gemma, Gemma2, Gemma3
from memcalc.architectures.gemma3n import Gemma3n
from memcalc.architectures.glm4 import Glm, Glm4
from memcalc.architectures.glm4_moe import Glm4Moe, MiniMaxM2
from memcalc.architectures.gpt2 import Gpt2
from memcalc.architectures.gpt_bigcode import GptBigCode
from memcalc.architectures.gpt_neox import GptNeox
from memcalc.architectures.gpt_oss import GptOss
from memcalc.architectures.gptj import GptJ
from memcalc.architectures.granite import Granite
from memcalc.architectures.granite_moe import GraniteMoe
from memcalc.architectures.jamba import Jamba
from memcalc.architectures.lfm2 import Lfm2
from memcalc.architectures.llama import Llama
from memcalc.architectures.llama4 import Llama4
from memcalc.architectures.mamba import Mamba
from memcalc.architectures.mamba2 import Mamba2
from memcalc.architectures.ministral import Ministral, Ministral3
from memcalc.architectures.moe import Mixtral, Olmoe, Qwen3Moe
from memcalc.architectures.mpt import Mpt
from memcalc.architectures.nemotron import Arcee, Nemotron
from memcalc.architectures.nemotron_h import NemotronH
from memcalc.architectures.olmo import Olmo, Olmo2, Olmo3
from memcalc.architectures.opt import Opt
from memcalc.architectures.phi import Phi
from memcalc.architectures.phi3 import Phi3
from memcalc.architectures.program import Program
from memcalc.architectures.qwen2_moe import Qwen2Moe
from memcalc.architectures.qwen3_next import Qwen3Next
from memcalc.architectures.resnet import ResNet
from memcalc.architectures.rwkv import Rwkv
from memcalc.architectures.smollm3 import SmolLM3
from memcalc.architectures.stablelm import StableLm
from memcalc.architectures.starcoder2 import Starcoder2
from memcalc.architectures.t5 import T5
from memcalc.architectures.unet import UNet
from memcalc.architectures.variants import Ernie, Exaone4, Hunyuan, SeedOss
from memcalc.architectures.vit import ViT
from memcalc.architectures.vit_kin import DeiT, Dinov2
from memcalc.architectures.vit_timm import TimmViT
from memcalc.architectures.vit_torchvision import TorchvisionViT
from memcalc.architectures.whisper import Whisper
from memcalc.architectures.zamba2 import Zamba2

PROGRAMS: dict[str, type[Program]] = {
    "gpt2": Gpt2,
    "llama": Llama,
    "llama4_text": Llama4,
    "cohere": Cohere,
    "cohere2": Cohere2,
    "seed_oss": SeedOss,
    "ernie4_5": Ernie,
    "hunyuan_v1_dense": Hunyuan,
    "exaone4": Exaone4,
    "gemma": Gemma,
    "gemma2": Gemma2,
    "gemma3_text": Gemma3,
    "gemma3n_text": Gemma3n,
    "ministral": Ministral,
    "ministral3": Ministral3,
    "arcee": Arcee,
    "nemotron": Nemotron,
    "glm4_moe": Glm4Moe,
    "minimax_m2": MiniMaxM2,
    "granitemoe": GraniteMoe,
    "glm": Glm,
    "glm4": Glm4,
    "granite": Granite,
    "olmo": Olmo,
    "olmo2": Olmo2,
    "olmo3": Olmo3,
    "phi3": Phi3,
    "smollm3": SmolLM3,
    "stablelm": StableLm,
    "gpt_neox": GptNeox,
    "opt": Opt,
    "phi": Phi,
    "starcoder2": Starcoder2,
    "gpt_bigcode": GptBigCode,
    "bloom": Bloom,
    "mpt": Mpt,
    "jamba": Jamba,
    "mamba": Mamba,
    "mamba2": Mamba2,
    "mixtral": Mixtral,
    "gpt_oss": GptOss,
    "deepseek_v2": DeepSeekV2,
    "deepseek_v3": DeepSeekV3,
    "olmoe": Olmoe,
    "qwen2_moe": Qwen2Moe,
    "qwen3_moe": Qwen3Moe,
    "qwen3_next": Qwen3Next,
    "gptj": GptJ,
    "falcon": Falcon,
    "falcon_alibi": FalconAlibi,
    "bert": Bert,
    "roberta": Roberta,
    "distilbert": DistilBert,
    "resnet": ResNet,
    "timm_convnext": ConvNeXt,
    "torchvision_convnext": TorchvisionConvNeXt,
    "vit": ViT,
    "deit": DeiT,
    "dinov2": Dinov2,
    "unet": UNet,
    "dit": DiT,
    "timm_vit": TimmViT,
    "torchvision_vit": TorchvisionViT,
    "bamba": Bamba,
    "lfm2": Lfm2,
    "nemotron_h": NemotronH,
    "granitemoehybrid": Granite4,
    "rwkv": Rwkv,
    "falcon_h1": FalconH1,
    "t5": T5,
    "bart": Bart,
    "whisper": Whisper,
    "zamba2": Zamba2,
}
