"""``make gpu-shell``: a prompt or one command inside an environment, with the caller's terminal, files and GPUs."""
