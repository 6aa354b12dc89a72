"""The words of the trade, each in two sentences, behind small buttons."""

from __future__ import annotations

import streamlit as st

TERMS = {
    "parameter": "One of the numbers that a model learned, also called a weight. An 8B model has 8 billion of them.",
    "token": "What a model reads and writes: a word or a piece of one. A page of English text has some 500.",
    "training step": "The forward pass computes an answer, the backward pass finds every parameter's gradient, the "
    "optimizer step changes the parameters. Then the next texts follow.",
    "temporary and overhead": "Temporary: what lives for a moment only, such as working copies. Overhead: what "
    "libraries, PyTorch's allocator and the CUDA context take on top of all tensors.",
    "gradient": "For every trained parameter, which way and how far it should move. The backward pass finds out.",
    "optimizer": "The rule that turns gradients into new parameters. AdamW keeps numbers of its own.",
    "mixed precision": "Parameters stay in 32 bits, 16-bit copies of them are computed with. It is fast; it does not "
    "halve memory.",
    "inference": "Using a trained model: it reads a prompt (prefill) and writes new tokens one by one (decode).",
    "LoRA": "The parameters are frozen, and small matrices beside them learn. QLoRA keeps the frozen ones in 4 bits.",
    "replica and shard": "A replica is a whole copy of the model on each card; a shard is one card's part of it.",
    "micro-batch": "The sequences that go through the model together on one card. Several micro-batches may be "
    "added up before the optimizer takes one step; only one of them is in memory at a time.",
    "KV cache": "Keys and values of every token read or written so far, kept so that each new token needs only its "
    "own computation. It grows with every token of every sequence.",
    "optimizer states": "What the optimizer remembers about each trained weight between steps. Adam keeps two running "
    "averages: often more memory than the weights themselves.",
    "gradient checkpointing": "Only the input of each block is kept during the forward pass; the rest is computed "
    "again when the backward pass needs it. Less memory, for about a third more computing.",
    "activations": "Results of the forward pass that the backward pass needs again. They grow with the number of "
    "tokens in the micro-batch.",
    "workspace": "Scratch memory that libraries such as cuBLAS take for their own use while they multiply matrices.",
    "reserved": "What PyTorch has taken from the driver: the tensors plus gaps between them that it keeps for later. "
    "Tools such as nvidia-smi show this and the CUDA context, not the tensors alone.",
    "GiB and GB": "1 GiB is 1,073,741,824 bytes (2 to the power of 30), 1 GB is 1,000,000,000. Memory is built in "
    "powers of two and sold in GB: 16 GiB are 17.2 GB. This page counts in GiB; hover a figure for GB.",
    "16 GB card": "A card sold with 16 GB has 16 GiB of memory, but the driver keeps part of it. What counts here is "
    "the smallest capacity that a driver reports for a consumer card of that size.",
}

#: What a page that shows training and inference together speaks of.
BOTH = ("activations", "optimizer states", "KV cache", "gradient checkpointing", "micro-batch", "workspace", "reserved",
        "GiB and GB", "16 GB card")  # fmt: skip


def row(terms: tuple[str, ...]) -> None:
    """A small button for each term; its explanation opens beside it."""
    with st.container(horizontal=True, gap="xsmall", key="glossary", vertical_alignment="center"):
        st.caption("What is …", width="content")
        for term in terms:
            with st.popover(term, type="tertiary", width="content"):
                st.markdown(f"**{term}**: {TERMS[term]}")
