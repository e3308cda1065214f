"""Scores, labels and curves, and the control frames that they become."""
