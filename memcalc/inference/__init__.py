"""Inference: one forward pass, or prefill and decode with a growing cache."""
