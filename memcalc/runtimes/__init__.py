"""Serving runtimes: how each turns a card's memory into weights, cache and buffers. They share the model's description
and its cache layout; what differs is policy. ``serve`` answers for one scenario."""

from __future__ import annotations

from memcalc.hardware.fit import Device
from memcalc.question import Question
from memcalc.runtimes import llama_cpp, sglang, tensorrt_llm, vllm
from memcalc.runtimes.served import Served

_PLANS = {
    "vllm": vllm.plan,
    "sglang": sglang.plan,
    "tensorrt-llm": tensorrt_llm.plan,
    "llama.cpp": llama_cpp.plan,
    "ollama": llama_cpp.plan,
}


def serve(question: Question, device: Device | None) -> Served:
    """What the scenario's runtime would hold on ``device`` (None: no card is known)."""
    return _PLANS[question.scenario.inference.runtime](question, device)


__all__ = ["Served", "serve"]
