"""``python -m gpuenv`` is the same as ``gpuenv``."""

import sys

from gpuenv.cli import main

sys.exit(main())
