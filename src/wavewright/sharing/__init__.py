"""Give a model to others: a page that describes it, and the Hugging Face hub."""
