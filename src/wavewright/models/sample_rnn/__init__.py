"""SampleRNN (thesis, section 3.2)."""
