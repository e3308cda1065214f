"""Chapter 4 of the thesis as commands: each experiment declares what to train on what, and what to measure.

Every trial is an ordinary run folder, so all of it resumes; its place is in one study (study.py).
"""
