"""What an environment is: a variant of ``envs/`` with its CUDA, its locks, and which cards and systems they serve."""
