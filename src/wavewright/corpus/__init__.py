"""From recordings to sections. Files are found, decoded, levelled, split and batched here."""
