"""The experiments of the thesis's chapter 4. Each declares its trials, its data and its measures.

Every trial is an ordinary run folder, so it can be resumed. The trials of an experiment share one study (study.py).
"""
