"""Both back ends, streams, takes and live sound."""
