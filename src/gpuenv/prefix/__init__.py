"""``make venv-env`` and ``make conda-env``: the same packages in a folder, without a container."""
