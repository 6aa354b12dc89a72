"""The layer above the tensors: what torch's caching allocator makes of them."""
