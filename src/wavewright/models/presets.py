"""What presets of the same name share, whatever the model.

`thesis` is what the thesis ran (4.2, 4.3), `paper` what the models' own papers report, `small` what learns most in
half an hour on two cores (found by experiment and search: docs/experiments.md), `tiny` a try-out.
"""

THESIS = {"batch_size": 128, "clip": "none"}
SMALL = {"batch_size": 16, "learning_rate": 2e-3, "ema": 0.998}
