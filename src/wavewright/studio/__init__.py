"""The studio: a server on this machine alone, and a page to collect recordings, train and play. No torch."""
