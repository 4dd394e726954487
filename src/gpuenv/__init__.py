"""Pinned TensorFlow 1 environments that prove they train."""
