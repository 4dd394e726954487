"""Pure functions that judge what programs found inside a target: identity, linkage, GPU, isolation, training."""
