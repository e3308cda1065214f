"""The values that presets of the same name share among models.

`thesis` is the size of the thesis's experiments (4.2, 4.3), and `paper` the size in the models' own papers. `small`
learns most in half an hour on two cores, as docs/log/2026-11-24-forty-minutes-of-piano.md and
docs/log/2026-11-26-samplernn-search.md found. `tiny` is for a quick try.
"""

THESIS = {"batch_size": 128, "clip": "none"}
SMALL = {"batch_size": 16, "learning_rate": 2e-3, "ema": 0.998}
