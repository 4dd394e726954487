"""Each check of `gpuenv.doctor.checks.python` is seen giving every severity that it has."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.doctor import (
    Case,
    assert_says,
    assert_seen,
    machine,
    make_pythons,
)
from gpuenv.conda.condarc import Condarc
from gpuenv.doctor.checks import python as checks
from gpuenv.doctor.facts import (
    Conda,
)


def condarc(**changes: Any) -> Conda:
    return Conda("/opt/conda/bin/conda", (Condarc("/home/u/.condarc", **changes),))


#: Check, severity, a part of the message, a part of the remedy, and what is changed of the good machine.
CASES: list[Case] = [
    Case("python", "ok", "CPython 3.6.15", "", []),
    Case("python", "warning", "no complete CPython 3.6", "pyenv install 3.6.15", [make_pythons(is_found=False)]),
    Case("conda", "ok", "not needed", "", []),
    Case("conda", "ok", "/opt/conda/bin/conda", "", [condarc()]),
    Case("conda-channels", "ok", "conda-forge", "", [condarc(channels=("conda-forge", "defaults"))]),
    Case("conda-channels", "warning", "menpo", "remove channels menpo", [condarc(channels=("menpo", "defaults"))]),
    Case("conda-ssl", "ok", "not switched off", "", [condarc(ssl_verify="/etc/ssl/bundle.pem")]),
    Case(
        "conda-ssl",
        "warning",
        "/home/u/.condarc",
        "update-ca-certificates && conda config --file /home/u/.condarc --set ssl_verify /etc/ssl/certs/ca-cert",
        [condarc(ssl_verify="False")],
    ),
    Case(
        "conda-ssl",
        "warning",
        "/home/u/.condarc",
        "conda config --file /home/u/.condarc --set ssl_verify /path/to",
        [condarc(ssl_verify="no"), machine(system="macos")],
    ),
    Case(
        "conda-ssl",
        "warning",
        "in CONDA_SSL_VERIFY",
        "export CONDA_SSL_VERIFY=/etc/pki",
        [Conda(configs=(Condarc("CONDA_SSL_VERIFY", "<false>", is_file=False),)), machine(system="fedora")],
    ),
    Case("conda-settings", "ok", "none", "", []),
    Case("conda-settings", "ok", "1 read", "", [condarc()]),
    Case("conda-settings", "warning", "line 3 is not YAML", "mv /home/u", [condarc(problem="its line 3 is not YAML")]),
    Case("tensorflow", "ok", "none", "", []),
    Case("tensorflow", "ok", "tensorflow 1.15.5", "", [Conda(active="/env", packages={"tensorflow": "1.15.5"})]),
    Case(
        "tensorflow",
        "warning",
        "mixes tensorflow 2.0.0, tensorflow-gpu 1.13.1",
        "/env/bin/python -m pip install tensorflow-gpu==1.13.1",
        [Conda(active="/env", packages={"tensorflow-gpu": "1.13.1", "tensorflow": "2.0.0"})],
    ),
]


@pytest.mark.parametrize(Case._fields, CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_check_says_what_it_sees(name: str, severity: str, message: str, remedy: str, changes: list[object]) -> None:
    assert_says(Case(name, severity, message, remedy, changes))


def test_every_check_is_seen_to_pass_and_to_fail() -> None:
    assert_seen(checks, CASES, informing=frozenset({"conda"}))
