"""Recordings to sections: find, decode, level, split and batch."""
