"""CUDA and cuDNN: where each archive comes from, fetching and verifying it, the libraries in it, and stand-ins."""
