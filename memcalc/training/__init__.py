"""A training step: forward, backward, optimizer."""
