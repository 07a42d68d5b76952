"""Files: atomic writing, tensors, stores' columns, fingerprints of content."""
