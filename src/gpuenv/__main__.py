"""``python -m gpuenv`` is the same as ``gpuenv``. `make help` runs it with any Python: a too old one is told here."""

import sys

if sys.version_info < (3, 9):  # noqa: UP036 - that it is older is what has to be told
    sys.exit("gpuenv: error: Python 3.9 or newer is needed, and this is %s (make PYTHON=...)" % sys.version.split()[0])  # noqa: UP031

from gpuenv.cli import main

sys.exit(main())
