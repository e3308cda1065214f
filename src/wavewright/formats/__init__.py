"""What lies on disk: configuration, checkpoint, model file, tensors and precisions."""
