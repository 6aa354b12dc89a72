"""Architecture programs: each model family's forward pass over symbolic tensors, op by op."""
