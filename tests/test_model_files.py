"""Models described by GGUF and safetensors files and by the Hub. GGUF files are written by the format's own package;
the Hub is a server on this machine."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hub_stand_in import Answer

import memcalc
from memcalc.errors import ModelError
from memcalc.models import catalogue, describe
from memcalc.models.files import hub

Q4_K, Q6_K, F32 = (gguf.GGMLQuantizationType[one] for one in ("Q4_K", "Q6_K", "F32"))
BLOCK = {Q4_K: (256, 144), Q6_K: (256, 210), F32: (1, 4)}
HIDDEN, LAYERS, HEADS, KV, FFN, VOCAB = 512, 3, 8, 2, 1024, 1000
BIG = {  # a block of a small Llama: rows, columns, type
    "attn_q": (HIDDEN, HIDDEN, Q4_K), "attn_k": (128, HIDDEN, Q4_K), "attn_v": (128, HIDDEN, Q6_K),
    "attn_output": (HIDDEN, HIDDEN, Q4_K), "ffn_gate": (FFN, HIDDEN, Q4_K), "ffn_up": (FFN, HIDDEN, Q4_K),
    "ffn_down": (HIDDEN, FFN, Q6_K),
}  # fmt: skip


def tensors(tied: bool = False) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Name, shape (rows first, as arrays have it) and type of every tensor of a small Llama."""
    found: dict[str, tuple[tuple[int, ...], Any]] = {"token_embd.weight": ((VOCAB, HIDDEN), Q4_K)}
    for layer in range(LAYERS):
        for name, (rows, columns, kind) in BIG.items():
            found[f"blk.{layer}.{name}.weight"] = ((rows, columns), kind)
        for name in ("attn_norm", "ffn_norm"):
            found[f"blk.{layer}.{name}.weight"] = ((HIDDEN,), F32)
    found["output_norm.weight"] = ((HIDDEN,), F32)
    found["rope_freqs.weight"] = ((32,), F32)
    if not tied:
        found["output.weight"] = ((VOCAB, HIDDEN), Q6_K)
    return found


def size(shape: tuple[int, ...], kind: Any) -> int:
    values, bytes_ = BLOCK[kind]
    return int(np.prod(shape)) // values * bytes_


def write(path: Path, chosen: dict[str, tuple[tuple[int, ...], Any]], arch: str = "llama", **more: int) -> Path:
    """A GGUF file with headers and as many bytes as its data has, all of them zero."""
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_name("Small Llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV)
    writer.add_token_list([f"token {one}".encode() for one in range(VOCAB)])
    writer.add_array("tokenizer.ggml.scores", [0.0] * 5000)
    for key, value in more.items():
        writer.add_uint32(f"{arch}.{key}", value)
    for name, (shape, kind) in chosen.items():
        bytes_ = size(shape, kind)
        writer.add_tensor(name, np.zeros((*shape[:-1], bytes_ // int(np.prod(shape[:-1]))), np.uint8),
                          raw_shape=None, raw_dtype=kind)  # fmt: skip
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "small.gguf", tensors())


def test_a_gguf_file_is_the_model_it_holds(small: Path) -> None:
    found = describe({"gguf": str(small)})
    spec = found.spec
    assert (spec.family, spec.hidden, spec.layers, spec.heads, spec.kv_heads, spec.head_dim, spec.ffn, spec.vocab) == (
        "llama", HIDDEN, LAYERS, HEADS, KV, HIDDEN // HEADS, FFN, VOCAB,
    )  # fmt: skip
    assert not spec.tied
    assert found.name == "Small Llama"
    assert found.stored is not None
    assert found.stored.bytes == small.stat().st_size
    parameters = sum(int(np.prod(shape)) for name, (shape, _) in tensors().items() if name != "rope_freqs.weight")
    assert memcalc.estimate({"model": {"gguf": str(small)}}).parameters["total"] == parameters


def test_llama_cpp_loads_the_blocks_that_the_file_has(small: Path) -> None:
    """The model's buffer: everything but the embedding, which stays on the host; each tensor padded to 128 bytes."""
    found = memcalc.estimate({"model": {"gguf": str(small)}, "inference": {"runtime": "llama.cpp", "n_ctx": 1024}})
    assert found.runtime is not None
    held = sum(-(-size(shape, kind) // 128) * 128 for name, (shape, kind) in tensors().items() if "embd" not in name)
    assert found.runtime["model_buffer"] == held
    assert found.runtime["cpu_model_buffer"] == size((VOCAB, HIDDEN), Q4_K)
    assert found.runtime["file_bytes"] == small.stat().st_size
    assert found.runtime["kv_buffer"] == 2 * 2 * 1024 * LAYERS * KV * (HIDDEN // HEADS)
    other = {"runtime": "llama.cpp", "n_ctx": 1024, "weights": "gguf:Q8_0"}
    assert memcalc.estimate({"model": {"gguf": str(small)}, "inference": other}).runtime["model_buffer"] > held


def test_transformers_turns_the_file_back_into_16_bits(small: Path) -> None:
    found = memcalc.estimate({"model": {"gguf": str(small)}, "precision": "bf16"})
    assert 0 <= found.persistent - 2 * found.parameters["total"] <= 4096  # tables of rotary frequencies
    assert any("GGUF" in one for one in found.assumptions)


def test_a_file_without_a_head_has_a_tied_one(tmp_path: Path) -> None:
    assert describe({"gguf": str(write(tmp_path / "tied.gguf", tensors(tied=True)))}).spec.tied


def test_a_split_file_is_read_whole(tmp_path: Path) -> None:
    every = tensors()
    half = len(every) // 2
    first, second = dict(list(every.items())[:half]), dict(list(every.items())[half:])
    write(tmp_path / "m-00001-of-00002.gguf", first)
    with pytest.raises(ModelError, match=r"m-00002-of-00002\.gguf cannot be read"):
        describe({"gguf": str(tmp_path / "m-00001-of-00002.gguf")})
    write(tmp_path / "m-00002-of-00002.gguf", second)
    for one in ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"):
        stored = describe({"gguf": str(tmp_path / one)}).stored
        assert stored is not None
        assert stored.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_file_that_is_not_the_program_is_refused_with_the_difference(tmp_path: Path) -> None:
    chosen = tensors()
    del chosen["blk.1.ffn_up.weight"]
    with pytest.raises(ModelError, match="in block 2, the program for llama has") as raised:
        describe({"gguf": str(write(tmp_path / "cut.gguf", chosen))})
    assert raised.value.field == "model.gguf"
    with pytest.raises(ModelError, match="no program yet for the GGUF architecture 'nonsense'"):
        describe({"gguf": str(write(tmp_path / "other.gguf", tensors(), "nonsense"))})


def test_experts_are_read(tmp_path: Path) -> None:
    chosen = tensors()
    for layer in range(LAYERS):
        for name in ("ffn_gate", "ffn_up", "ffn_down"):
            shape, kind = chosen.pop(f"blk.{layer}.{name}.weight")
            chosen[f"blk.{layer}.{name}_exps.weight"] = ((4, *shape), kind)
        chosen[f"blk.{layer}.ffn_gate_inp.weight"] = ((4, HIDDEN), F32)
    spec: Any = describe({"gguf": str(write(tmp_path / "moe.gguf", chosen, expert_count=4, expert_used_count=2))}).spec
    assert (spec.family, spec.experts, spec.chosen) == ("mixtral", 4, 2)


@pytest.mark.parametrize("cut", [0, 3, 4, 8, 24, 40, 200, 5000])
def test_a_file_that_is_cut_short_is_refused(small: Path, tmp_path: Path, cut: int) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(small.read_bytes()[:cut])
    with pytest.raises(ModelError, match="GGUF"):
        describe({"gguf": str(broken)})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "no real one"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 62), "no real one"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 77), "type 77"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 9, 1) + struct.pack("<IQ", 9, 1) * 5, "type 9"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 1, 0, 1, b"t", 900), "900 dimensions"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"t", 1, 32, 999, 0), "number 999"),
        (b"PK\x03\x04 an archive", "not a GGUF file"),
    ],
)
def test_hostile_headers_are_refused(tmp_path: Path, body: bytes, words: str) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(body + bytes(64))
    with pytest.raises(ModelError, match=words):
        describe({"gguf": str(path)})


def test_a_visitor_of_the_dashboard_names_no_file(small: Path, tmp_path: Path) -> None:
    for kind in ("gguf", "safetensors"):
        with pytest.raises(ModelError, match="a file of the server's cannot be named here"):
            describe({kind: str(small)}, allow_files=False)


# --- safetensors


CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 100,
    "max_position_embeddings": 512, "tie_word_embeddings": False,
}  # fmt: skip


def shapes() -> dict[str, list[int]]:
    found = {"model.embed_tokens.weight": [100, 64], "lm_head.weight": [100, 64], "model.norm.weight": [64]}
    for layer in range(2):
        block = {
            "self_attn.q_proj": [64, 64], "self_attn.k_proj": [32, 64], "self_attn.v_proj": [32, 64],
            "self_attn.o_proj": [64, 64], "mlp.gate_proj": [128, 64], "mlp.up_proj": [128, 64],
            "mlp.down_proj": [64, 128], "input_layernorm": [64], "post_attention_layernorm": [64],
        }  # fmt: skip
        found |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in block.items()}
    return found


def save(path: Path, held: dict[str, list[int]], dtype: str = "BF16") -> None:
    """A safetensors file's header; its data is left out."""
    header = {name: {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]} for name, shape in held.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def test_a_safetensors_file_agrees_with_its_configuration(folder: Path) -> None:
    save(folder / "model.safetensors", shapes() | {"model.layers.0.self_attn.rotary_emb.inv_freq": [8]})
    total = sum(int(np.prod(one)) for one in shapes().values())
    for place in (folder, folder / "model.safetensors"):
        found = memcalc.estimate({"model": {"safetensors": str(place)}})
        assert found.parameters["total"] == total
        assert any(f"{total:,} in BF16" in one for one in found.assumptions)


def test_shards_are_counted_together(folder: Path) -> None:
    names = list(shapes())
    parts = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for file, held in parts.items():
        save(folder / file, {name: shapes()[name] for name in held})
    listed = {"weight_map": {name: file for file, held in parts.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(listed))
    for place in (folder, folder / next(iter(parts)), folder / "model.safetensors.index.json"):
        assert describe({"safetensors": str(place)}).spec.hidden == 64
    (folder / next(iter(parts))).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        describe({"safetensors": str(folder)})


def test_what_does_not_agree_is_refused(folder: Path) -> None:
    held = shapes()
    save(folder / "model.safetensors", {name: held[name] for name in list(held)[1:]})
    with pytest.raises(ModelError, match="files are missing"):
        describe({"safetensors": str(folder)})
    save(folder / "adapter_model.safetensors", {"base.lora_A.weight": [8, 64]})
    with pytest.raises(ModelError, match="adapter"):
        describe({"safetensors": str(folder / "adapter_model.safetensors")})
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config.json is missing"):
        describe({"safetensors": str(folder / "model.safetensors")})


@pytest.mark.parametrize(
    "body",
    [b"", b"12345678", (1 << 40).to_bytes(8, "little"), (10).to_bytes(8, "little") + b"no json at all", bytes(8)],
)
def test_broken_safetensors_are_refused(folder: Path, body: bytes) -> None:
    (folder / "model.safetensors").write_bytes(body)
    with pytest.raises(ModelError, match=r"model.safetensors is (not|broken)"):
        describe({"safetensors": str(folder)})


def test_an_index_leads_to_no_other_folder(folder: Path) -> None:
    listed = {"weight_map": {"a": "../../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(listed))
    with pytest.raises(ModelError, match="lists no files"):
        describe({"safetensors": str(folder)})


# --- the Hub


def test_a_model_of_the_hub_is_its_configuration(serve: Callable[[Answer], list[str]]) -> None:
    asked = serve(lambda path, token: (200, json.dumps(CONFIG).encode(), {}))
    for _ in range(3):
        found = describe({"hub": "some/model@v1.0"}, allow_files=False)
    assert asked == ["/some/model/resolve/v1.0/config.json"]  # once, not for every slider
    assert found.spec.hidden == 64
    assert found.name == "model"


def test_what_the_catalogue_knows_needs_no_network(serve: Callable[[Answer], list[str]]) -> None:
    asked = serve(lambda path, token: (500, b"", {}))
    found = describe({"hub": catalogue.find("gpt2").hub}, allow_files=False)
    assert found.spec == describe("gpt2").spec
    assert asked == []


@pytest.mark.parametrize(
    ("code", "words"), [(401, "gated"), (403, "gated"), (404, "the Hub has no config.json"), (503, "HTTP 503")]
)
def test_the_hubs_refusals_are_said(serve: Callable[[Answer], list[str]], code: int, words: str) -> None:
    serve(lambda path, token: (code, b"", {}))
    with pytest.raises(ModelError, match=words):
        describe({"hub": "some/model"})


def test_nothing_is_asked_where_the_hub_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub._text.cache_clear()
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        describe({"hub": "some/model"})


def test_no_network_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub._text.cache_clear()
    with pytest.raises(ModelError, match=r"127.0.0.1:9 cannot be reached .* its config.json does as well"):
        describe({"hub": "some/model"})


@pytest.mark.parametrize("body", [b"not json", b"[]", b"{}", b'{"model_type": "nothing-known"}', b"[" * 100_000])
def test_what_the_hub_sends_is_not_trusted(serve: Callable[[Answer], list[str]], body: bytes) -> None:
    serve(lambda path, token: (200, body, {}))
    with pytest.raises(ModelError):
        describe({"hub": "some/model"})


@pytest.mark.parametrize(
    "name", ["", "model", "a/b/c", "../etc/passwd", "a/..", "http://x/y", 7, "a/b@../../c", "a b/c"]
)
def test_wild_names_ask_nobody(serve: Callable[[Answer], list[str]], name: Any) -> None:
    asked = serve(lambda path, token: (200, json.dumps(CONFIG).encode(), {}))
    with pytest.raises(ModelError, match="org/name"):
        describe({"hub": name})
    assert asked == []


def test_a_token_goes_to_the_hub_only_and_never_for_a_visitor(
    serve: Callable[[Answer], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen: list[tuple[str, str | None]] = []

    def answer(path: str, token: str | None) -> tuple[int, bytes, dict[str, str]]:
        seen.append((path, token))
        if path.startswith("/some/"):
            return 302, b"", {"Location": "/elsewhere"}
        return 200, json.dumps(CONFIG).encode(), {}

    serve(answer)
    describe({"hub": "some/model"}, allow_files=True)
    describe({"hub": "some/model"}, allow_files=False)
    config = "/some/model/resolve/main/config.json"
    assert seen == [(config, "Bearer hf_secret"), ("/elsewhere", None), (config, None), ("/elsewhere", None)]


def test_a_gguf_file_of_the_hub_is_read_by_its_header(serve: Callable[[Answer], list[str]], small: Path) -> None:
    asked = serve(lambda path, token: (200, small.read_bytes(), {}))
    found = describe({"gguf": "some/model-GGUF:q4/small file.gguf"}, allow_files=False)
    assert asked == ["/some/model-GGUF/resolve/main/q4/small%20file.gguf"]
    here = describe({"gguf": str(small)})
    assert (found.spec, found.stored.tensors) == (here.spec, here.stored.tensors)  # type: ignore[union-attr]
    assert abs(found.stored.bytes - small.stat().st_size) < 32  # type: ignore[union-attr]  # padding at the end
