"""Scores, distances and speed."""
