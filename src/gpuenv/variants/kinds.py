"""The kinds of environments: flavors, folders of this machine, and the room that these take."""

from __future__ import annotations

FLAVORS = ("gpu", "cpu")
#: The kinds that are folders of this machine, as people call them.
TITLES = {"venv": "virtual environment", "conda": "conda environment"}
#: Free space (10**9 bytes) that making an environment without a container takes, by its flavor. docs/measured.md: what
#: a cpu image holds has 1.3 GB, a gpu image with a complete CUDA 4.5 GB; and the largest wheel beside it.
PREFIX_GB = {"cpu": 2, "gpu": 6}
