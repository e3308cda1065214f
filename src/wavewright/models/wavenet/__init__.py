"""WaveNet (thesis, section 3.3)."""
