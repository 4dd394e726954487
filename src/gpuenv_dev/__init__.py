"""For gpuenv's own developers: the benchmark and the generated parts of the documentation."""
