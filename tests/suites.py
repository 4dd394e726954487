"""What every suite of this project asks of pytest."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from gpuenv.core import mounts

# Assertions of the tests' own packages, which no suite has imported yet, say the values, too.
pytest.register_assert_rewrite("fakes", "simulated", "soak", "tiny")


def prepare(config: pytest.Config) -> None:
    """Give the programs that tests start the default signals, and the session a folder of its own.

    A background job ignores SIGINT and SIGQUIT, one of nohup SIGHUP; every program that a test starts would, too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="gpuenv-tests-"))
        config.option.basetemp = str(folder)
        config.pluginmanager.register(_OwnFolder(folder))


class _OwnFolder:
    """Removes the session's folder after a success.

    pytest's default is a folder in one that all sessions of a user share: each tidies up after the others, stumbles
    over what another one removes at the same time, and goes into what a killed one has left mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and not mounts.find_below(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
