"""Models described by the files of their weights: only headers are read, never a weight, and nothing is run."""
