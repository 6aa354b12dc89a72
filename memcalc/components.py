"""What memory is made of, in the order in which it is stacked, listed and explained; and what people call it."""

from __future__ import annotations

COMPONENTS = ("weights", "gradients", "optimizer", "activations", "kv_cache", "temporary")
"""Every live tensor belongs to one of these; they sum to ``peak.tensors``."""
OVERHEAD = "overhead"
"""What is above the tensors: workspaces, the allocator's reserve, the context."""
LABELS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer states",
    "activations": "activations",
    "kv_cache": "KV cache",
    "temporary": "temporary",
    "overhead": "overhead",
}
