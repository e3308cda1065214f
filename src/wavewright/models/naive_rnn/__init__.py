"""NaiveRNN (thesis, section 3.1)."""
