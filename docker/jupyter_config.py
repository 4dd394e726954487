"""Jupyter's settings in a container of `gpu-shell`. The command line and the user's own (~/.jupyter) win.

JUPYTER_PORT, which is PORT=, Jupyter takes by itself.
"""

import os

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - Jupyter's
for server in (c.ServerApp, c.NotebookApp):
    # root has no capabilities here but over files, and is reached on the host's loopback address only.
    server.allow_root = True
    server.open_browser = False
    server.ip = os.environ.get("JUPYTER_IP", "localhost")
    if os.environ.get("JUPYTER_PORT"):
        server.custom_display_url = "http://127.0.0.1:" + os.environ["JUPYTER_PORT"]
