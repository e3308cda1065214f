"""The parts of the GPU drill (benchmarks/gpu_drill.py)."""
