"""What the four programs write when they fail, and what we make of it. The texts are theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.conda import failures as conda_failures
from gpuenv.conda.channels import CondaRequest
from gpuenv.core.errors import BuildError, DataError, GpuenvError, SourceError

REQUEST = CondaRequest(
    ("conda-forge",), ("python=3.6.15", "pip", "cudatoolkit=10.0.130", "defaults::cudnn=7.6.5=cuda9.0_0")
)


def explained(text: str) -> GpuenvError:
    return conda_failures.explain(text, program="rattler", request=REQUEST, log=Path("/log"))


COLLISIONS = {
    "rattler": """SolverError: Cannot solve the request because of: cudnn 7.6.5.* cannot be installed because there are:
└─ cudnn 7.6.5 would require
   └─ cudatoolkit 10.1.*, for which no candidates were found.
""",
    "mamba": """error    libmamba Could not solve for environment specs
    The following packages are incompatible
    ├─ cudatoolkit =10.0.130 * is requested and can be installed;
    └─ cudnn 7.6.5 would require
       └─ cudatoolkit 10.1.* , which conflicts with any installable versions previously reported.
""",
    "conda with libmamba": """LibMambaUnsatisfiableError: Encountered problems while solving:
  - package cudnn-7.6.5-cuda10.1_0 requires cudatoolkit 10.1.*, but none of the providers can be installed
""",
    "conda": """UnsatisfiableError: The following specifications were found to be incompatible with each other:

Package cudatoolkit conflicts for:
cudnn==7.6.5=cuda10.1_0 -> cudatoolkit[version='10.1.*']
""",
}  # fmt: skip


@pytest.mark.parametrize("program", COLLISIONS)
def test_the_two_requirements_that_collide_are_named(program: str) -> None:
    error = explained(COLLISIONS[program])
    assert isinstance(error, DataError)
    assert "collide" in error.what
    assert "cudnn 7.6.5" in error.why
    assert "needs cudatoolkit 10.1.*" in error.why
    assert "cudatoolkit=10.0.130, which is asked for" in error.why


def test_a_missing_driver_is_no_wrong_pin() -> None:
    error = explained(
        "SolverError: Cannot solve the request because of: cudatoolkit * cannot be installed because:\n"
        "└─ cudatoolkit 10.0.130 would require\n   └─ __cuda >=10.0, for which no candidates were found.\n"
    )
    assert "this machine, which has no __cuda" in error.why
    assert "CONDA_OVERRIDE_CUDA" in error.next_step


@pytest.mark.parametrize(
    "text",
    [
        "SolverError: Cannot solve the request because of: No candidates were found for cudatoolkit 10.0.130.*.\n",
        "ResolvePackageNotFound: \n  - cudatoolkit=10.0.130\n",
        (
            "PackagesNotFoundError: The following packages are not available from current channels:\n\n"
            "  - cudatoolkit=10.0.130\n"
        ),
        "LibMambaUnsatisfiableError: nothing provides requested cudatoolkit 10.0.130**\n",
        "Could not solve for environment specs\n└─ cudatoolkit 10.0.130**  does not exist (perhaps a typo).\n",
    ],
)
def test_a_package_that_no_channel_has(text: str) -> None:
    error = explained(text)
    assert isinstance(error, DataError)
    assert error.what.startswith("no channel has cudatoolkit")
    assert "conda-forge" in error.why


def test_a_file_that_cannot_be_unpacked_is_named() -> None:
    """Where the file is damaged so that this is seen before its sum."""
    text = (
        "InstallerError: failed to fetch cudnn-7.6.5-cuda9.0_0.tar.bz2\nCaused by: an io error occurred: "
        "bzip2: invalid data\n"
    )
    error = explained(text)
    assert isinstance(error, SourceError)
    assert error.what == "the channel gave a damaged file: cudnn-7.6.5-cuda9.0_0.tar.bz2"


@pytest.mark.parametrize(
    "text",
    [
        (
            "InstallerError: failed to fetch cudnn-7.6.5-cuda9.0_0.conda\nCaused by: hash mismatch when extracting "
            "http://127.0.0.1/linux-64/cudnn-7.6.5-cuda9.0_0.conda: expected 11, got 7e\n"
        ),
        (
            "ChecksumMismatchError: Conda detected a mismatch between the expected content and downloaded content for "
            "'https://mirror.example/linux-64/cudnn-7.6.5-cuda9.0_0.conda'.\n"
        ),
        "error    libmamba File not valid: SHA256 sum of cudnn-7.6.5-cuda9.0_0.conda doesn't match expectation\n",
    ],
)
def test_a_hash_mismatch_names_the_file(text: str) -> None:
    error = explained(text)
    assert isinstance(error, SourceError)
    assert "another file than it promised: cudnn-7.6.5-cuda9.0_0.conda" in error.what


@pytest.mark.parametrize(
    "text",
    [
        "Caused by: HTTP status client error (404 Not Found) for url (http://127.0.0.1:1/linux-64/cudnn-7.6.5-h.tar.bz2)\n",
        "CondaHTTPError: HTTP 404 NOT FOUND for url <https://mirror.example/linux-64/cudnn-7.6.5-h.tar.bz2>\n",
    ],
)
def test_a_package_that_vanished(text: str) -> None:
    error = explained(text)
    assert isinstance(error, SourceError)
    assert error.what == "a package is gone from the channel: cudnn-7.6.5-h.tar.bz2"


@pytest.mark.parametrize(
    "text",
    [
        (
            "GatewayError: Request failed after 3 retries\nCaused by: error sending request for url "
            "(https://mirror.example/linux-64/repodata.json)\nCaused by: Connection refused (os error 111)\n"
        ),
        "CondaHTTPError: HTTP 000 CONNECTION FAILED for url <https://mirror.example/linux-64/repodata.json>\n",
        "error    libmamba Download error (7) Could not connect to server [https://mirror.example/linux-64/repodata.json]\n",
        "GatewayError: could not find subdir 'noarch' in channel 'https://mirror.example/none/'\n",
    ],
)
def test_a_channel_that_is_down(text: str) -> None:
    error = explained(text)
    assert isinstance(error, SourceError)
    assert "https://mirror.example/" in error.what
    assert "does not answer" in error.what
    assert "CHANNELS=" in error.next_step
    assert "SOURCES_DIR=" in error.next_step


@pytest.mark.parametrize(
    "text",
    [
        "error sending request for url (https://x/)\nCaused by: invalid peer certificate: UnknownIssuer\n",
        "CondaSSLError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed\n",
    ],
)
def test_a_certificate_that_is_not_trusted(text: str) -> None:
    error = explained(text)
    assert "not trusted" in error.what
    assert "never switched off" in error.next_step


def test_anything_else_shows_the_end_of_the_output() -> None:
    error = explained("Traceback (most recent call last):\nValueError: surprise\n")
    assert isinstance(error, BuildError)
    assert "surprise" in error.why
    assert "/log" in error.next_step
