"""Play trained models: both back ends, streams, takes and live sound."""
