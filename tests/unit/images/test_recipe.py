"""The settings that the Dockerfile's own lines give an image."""

from __future__ import annotations

import pytest

from gpuenv.core import paths
from gpuenv.images import recipe
from gpuenv.images.build import TARGET

BASE = {"Env": {"PATH": "/usr/bin:/bin", "PYTHON_VERSION": "3.6.15"}, "Cmd": ["python3"]}
DOCKERFILE = """# A comment.
ARG BELOW
ARG FLAVOR
FROM other AS builder
ENV LOST=1
FROM ${BELOW} AS tools
SHELL ["/bin/sh", "-eu", "-c"]
ENV PATH=/opt/bin:${PATH} \\
    TITLE="two words"
RUN echo ENV NOT=this; \\
    # A comment within.
    true
USER 7:7
FROM tools AS flavor-cpu
FROM tools AS flavor-gpu
ENV CACHE=/cache
FROM flavor-${FLAVOR} AS image
COPY --from=builder /a /b
COPY settings/some.py /etc/some/
COPY other /etc/another
COPY folder/ /opt/
USER 1000:1000
WORKDIR /work
CMD ["bash", "-l"]
"""


@pytest.mark.parametrize(("flavor", "more"), [("cpu", {}), ("gpu", {"CACHE": "/cache"})])
def test_a_stage_has_the_settings_of_those_below_it(flavor: str, more: dict[str, str]) -> None:
    assert recipe.render(DOCKERFILE, "image", {"BELOW": "base", "FLAVOR": flavor}, BASE) == {
        "Env": {"PATH": "/opt/bin:/usr/bin:/bin", "PYTHON_VERSION": "3.6.15", "TITLE": "two words", **more},
        "User": "1000:1000",
        "WorkingDir": "/work",
        "Cmd": ["bash", "-l"],
    }
    assert BASE["Env"] == {"PATH": "/usr/bin:/bin", "PYTHON_VERSION": "3.6.15"}


def test_the_files_that_end_in_a_stage() -> None:
    files = {"/etc/some/some.py": "settings/some.py", "/etc/another": "other"}
    assert recipe.copied(DOCKERFILE, "image", "cpu") == files
    assert recipe.copied(DOCKERFILE, "flavor-cpu", "cpu") == {}


@pytest.mark.parametrize("line", ["EXPOSE 80", "ENTRYPOINT sh", "HEALTHCHECK NONE", "ENV X=${Y}", "CMD bash"])
def test_a_line_that_is_not_understood_is_no_setting_that_is_overheard(line: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        recipe.render(f"FROM base AS image\n{line}\n", "image", {}, BASE)


@pytest.mark.parametrize("nothing", [None, [], {}, ""])
def test_what_an_engine_says_of_an_image(nothing: object) -> None:
    config = {
        "Env": ["A=1", "B=x=y"], "User": nothing, "ExposedPorts": {"80/tcp": {}}, "Volumes": nothing,
        "Labels": {"a": "b"}, "Hostname": "h", "ArgsEscaped": True, "Shell": ["/bin/sh"],
    }  # fmt: skip
    assert recipe.settings_in(config) == {"Env": {"A": "1", "B": "x=y"}, "ExposedPorts": {"80/tcp": {}}}
    assert recipe.settings_in({"Env": nothing}) == {"Env": {}}


def test_our_own_dockerfile_is_understood() -> None:
    text = (paths.docker_dir() / "Dockerfile").read_text()
    arguments = {"BASE_IMAGE": "a", "BUILDER_IMAGE": "b", "FLAVOR": "gpu", "CUDA_VERSION": "9.0"}
    found = recipe.render(text, TARGET, arguments, BASE)
    assert (found["User"], found["WorkingDir"], found["Cmd"]) == ("1000:1000", "/work", ["bash"])
    assert found["Env"]["PATH"] == "/opt/gpuenv/bin:/usr/bin:/bin"
    assert found["Env"]["LANG"] == "C.UTF-8"
    assert "NVIDIA_DRIVER_CAPABILITIES" in found["Env"]
    assert "NVIDIA_DRIVER_CAPABILITIES" not in recipe.render(text, TARGET, {**arguments, "FLAVOR": "cpu"}, BASE)["Env"]
