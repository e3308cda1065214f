"""Fields by name. `thesis` is what the thesis ran (4.2, 4.3), `paper` what the models' own papers report,
`small` what learns most in half an hour on two cores (found by experiment, docs/training.md, and
search, docs/experiments.md), `tiny` for a try-out.
"""

from typing import Any

_THESIS = {"batch_size": 128, "clip": "none"}
_SMALL = {"batch_size": 16, "learning_rate": 2e-3, "ema": 0.998}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "naive-rnn": {
        "thesis": {
            "model": {"layers": 2, "units": 512, "input": "scalar"},
            "encoding": "linear",
            "training": {**_THESIS, "length": 128},
        },
        "small": {
            "model": {"layers": 2, "units": 192},
            "training": {**_SMALL, "length": 256},
        },
        "tiny": {
            "model": {"layers": 1, "units": 64},
            "training": {"batch_size": 8, "length": 128, "learning_rate": 3e-3, "checkpoint_every": 200},
        },
    },
    "sample-rnn": {
        "thesis": {
            "model": {
                "frame_sizes": [8, 2],
                "window": 2,
                "units": 512,
                "input": "scalar",
                "frame_scale": 1.0,
            },
            "encoding": "linear",
            "training": {**_THESIS, "length": 512, "clip": "value"},
        },
        "paper": {
            "model": {
                "frame_sizes": [8, 2],
                "units": 1024,
                "cell": "gru",
                "learned_state": True,
                "weight_norm": True,
                "forget_bias": 3.0,
            },
            "encoding": "linear",
            "training": {**_THESIS, "length": 512, "clip": "value"},
        },
        "small": {
            "model": {"frame_sizes": [8, 4, 2], "units": 128},
            "training": {**_SMALL, "learning_rate": 1.4e-3, "length": 256},
        },
        "tiny": {
            "model": {"frame_sizes": [8, 2], "units": 64, "embedding": 32},
            "training": {"batch_size": 8, "length": 512, "learning_rate": 3e-3, "checkpoint_every": 200},
        },
    },
    "wavenet": {
        "thesis": {
            "model": {"blocks": 2, "layers": 12, "channels": 128, "form": "plain", "input": "scalar"},
            "encoding": "linear",
            "training": {**_THESIS, "length": 14700, "batch_size": 16},
        },
        "paper": {
            "model": {"blocks": 4, "layers": 10, "channels": 128, "skip_channels": 256},
            "training": {"batch_size": 8, "length": 14700, "clip": "none"},
        },
        "small": {
            "model": {"blocks": 2, "layers": 10, "channels": 32, "skip_channels": 64},
            # at a rate that stays it ends in silence; SampleRNN does at one that falls (docs/experiments.md)
            "training": {
                **_SMALL,
                "batch_size": 4,
                "length": 2048,
                "schedule": "cosine",
                "schedule_steps": 10_000,
            },
        },
        "tiny": {
            "model": {"blocks": 1, "layers": 8, "channels": 24},
            "training": {"batch_size": 4, "length": 2048, "learning_rate": 3e-3, "checkpoint_every": 200},
        },
    },
}
