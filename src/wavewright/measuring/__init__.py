"""Measure models: scores, distances and speed."""
