"""Reading what builders print. The texts are what Docker 20.10, Podman 4.3 and pip 21.3.1 really printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.explain.command import Diagnosis
from gpuenv.images import log as build_log
from gpuenv.images.log import StepReader
from gpuenv.net.build_settings import BuildNetwork

NETWORK = BuildNetwork(
    "[global]\nindex-url = https://u:p@index.example/simple\n", "x", Path("/etc/ca.pem"), "PIP_CERT", ("HTTPS_PROXY",)
)
A, B = "a" * 64, "b" * 64

MISMATCH = f"""
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. [...]
    six==1.16.0 from https://index.example/files/six-1.16.0-py2.py3-none-any.whl#sha256={A} (from -r x (line 1)):
        Expected sha256 {A}
        Expected     or {B}
             Got        {"c" * 64}
"""
TLS = (
    "WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection "
    "broken by 'SSLError(SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:852)'),)': "
    "/simple/six/\n"
    "Could not fetch URL https://index.example/simple/six/: There was a problem confirming the ssl certificate: "
    "HTTPSConnectionPool(host='index.example', port=443): Max retries exceeded with url: /simple/six/\n"
    "ERROR: No matching distribution found for six==1.16.0\n"
)
REFUSED = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection "
    "broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f>: Failed to "
    "establish a new connection: [Errno 111] Connection refused',)': /simple/six/\n"
    "ERROR: Could not find a version that satisfies the requirement six==1.16.0 (from versions: none)\n"
    "ERROR: No matching distribution found for six==1.16.0\n"
)


def cause(text: str, network: BuildNetwork = NETWORK) -> Diagnosis:
    return build_log.find_cause(text.splitlines(), network)


def test_a_wrong_hash_names_the_file_and_both_hashes() -> None:
    found = cause(MISMATCH)
    assert found.cause == (
        f"six==1.16.0 is refused: six-1.16.0-py2.py3-none-any.whl has sha256 {'c' * 64}, and the lock names {A} or {B}"
    )


def test_a_certificate_that_nobody_knows() -> None:
    found = cause(TLS)
    assert "the certificate of index.example is signed by nobody" in found.cause
    assert "/etc/ca.pem (PIP_CERT)" in found.cause
    assert "PIP_CERT=<file>" in found.remedy


def test_the_remedy_is_the_variable_that_will_be_heard() -> None:
    by_system = BuildNetwork("", "x", Path("/etc/ca.pem"), "the system", ())
    assert "SSL_CERT_FILE=<file>" in cause(TLS, by_system).remedy
    without = BuildNetwork("", None, None, "", ())
    assert "no bundle of this host" in cause(TLS, without).cause


def test_an_index_that_does_not_answer_is_named_without_its_password() -> None:
    found = cause(REFUSED)
    assert "https://index.example/simple: Connection refused; proxies handed in: HTTPS_PROXY" in found.cause
    assert "u:p" not in found.cause


CONFLICT = """
ERROR: Cannot install a because these package versions have conflicting dependencies.

The conflict is caused by:
    a 1.0 depends on numpy>=1.19
    The user requested (constraint) numpy==1.18.5

To fix this you could try to:
1. loosen the range of package versions you've specified
"""


def test_a_conflict_names_both_sides() -> None:
    found = cause(CONFLICT)
    assert found.cause == "a 1.0 depends on numpy>=1.19, and the lock holds numpy==1.18.5"
    assert "take it out" in found.remedy
    direct = CONFLICT.replace("a 1.0 depends on numpy>=1.19", "The user requested numpy==1.19")
    assert cause(direct).cause == "it asks for numpy==1.19, and the lock holds numpy==1.18.5"
    own = CONFLICT.replace("The user requested (constraint) numpy==1.18.5", "b 2.0 depends on numpy<1.19")
    assert cause(own).cause == "a 1.0 depends on numpy>=1.19 and b 2.0 depends on numpy<1.19: no version is both"


def test_what_would_be_overwritten_is_named() -> None:
    assert cause("x\nnot added: a-1 brings b.py, which is a file of c-1 in the lock\n").cause.startswith(
        "a-1 brings b.py"
    )


def test_a_version_that_no_index_has() -> None:
    text = "ERROR: Could not find a version that satisfies the requirement six==9 (from versions: 1.0, 1.1)\n"
    found = cause(text)
    assert (
        found.cause == "No matching distribution found for six==9 and this variant's Python (from versions: 1.0, 1.1)"
    )
    assert "newer Python" in found.remedy


def test_a_package_that_does_not_exist_is_no_network_problem() -> None:
    text = "ERROR: No matching distribution found for six==9\n"
    assert "No matching distribution found for six==9" in cause(text).cause
    assert "reached" not in cause(text).cause


@pytest.mark.parametrize("text", ["write /x: no space left on device", "OSError: [Errno 28] No space left on device"])
def test_a_full_disk(text: str) -> None:
    assert cause(text).cause == "the engine's disk is full"


def test_what_is_not_known_is_shown() -> None:
    found = cause("\n".join(f"line {number}" for number in range(20)))
    assert "line 19" in found.cause
    assert "line 11\n" not in found.cause


def test_prefixes_are_taken_off() -> None:
    assert build_log.strip_prefix("#10 2.035     six==1.16.0 from x\n") == "    six==1.16.0 from x"
    assert build_log.strip_prefix("plain\n") == "plain"


LINES = """
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#6 [tools 1/2] FROM docker.io/library/gpuenv-base:1
#6 DONE 5.0s
#7 [tools 2/2] RUN --mount=type=tmpfs,target=/run x
#7 CACHED
#12 [tools 3/3] RUN z
#12 CACHED
#9 [sources 1/1] RUN --mount=type=tmpfs,target=/run y
#9 0.123 Collecting z
#8 [framework 1/1] RUN --mount=type=tmpfs,target=/run y
#9 DONE 0.9s
#8 DONE 12.5s
#10 [image 1/2] RUN --mount=type=tmpfs,target=/run y
#10 ERROR: executor failed
#11 exporting to image
#11 exporting layers
#11 DONE 7.0s
""".strip().splitlines()


def test_steps_that_take_time_are_told() -> None:
    reader = StepReader()
    said = [text for text in map(reader.read, LINES) if text]
    assert said == ["  tools: unchanged", "  framework: 12 s", "  image: failed", "  writing the image: 7 s"]
    assert reader.current == ""


def test_the_steps_under_way() -> None:
    reader = StepReader()
    for line in LINES[:11]:
        reader.read(line)
    assert reader.current == "sources, framework"


def test_podmans_steps() -> None:
    assert StepReader().read("[2/8] STEP 3/5: RUN echo\n") == "  RUN echo"
