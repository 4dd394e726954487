"""CUDA and cuDNN archives: where each comes from, fetching and verifying it, and the libraries taken out of it."""
