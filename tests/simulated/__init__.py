"""A simulated CUDA: see cuda.py."""
