"""The formats on disk: configuration, checkpoint, model file, tensors and precisions."""
