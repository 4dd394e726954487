"""Goes into a broken image as sitecustomize.py: changes programs of the harness while they are imported.

The programs are mounted from the host, so an image cannot hold broken ones. Python 3.6, standard library.
"""

import importlib.machinery
import json
import os

with open(os.path.join(os.path.dirname(__file__), "edits.json"), encoding="utf-8") as stream:
    EDITS = json.load(stream)
_get_data = importlib.machinery.SourceFileLoader.get_data


def get_data(self, path):
    """The file's content, edited."""
    if os.path.dirname(path) == "/gpuenv-reference/__pycache__":
        # Bytecode of the unedited program, which somebody ran on the host: it is not there.
        raise OSError(path)
    content = _get_data(self, path)
    if os.path.dirname(path) == "/gpuenv-reference":
        for name, old, new in EDITS:
            if name == os.path.basename(path):
                content = content.replace(old.encode(), new.encode())
    return content


importlib.machinery.SourceFileLoader.get_data = get_data
