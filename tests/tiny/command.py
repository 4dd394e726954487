"""Running the command in a process of its own, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import docker

from tiny.variant import Tiny

TIMEOUT_S = 300


@dataclass
class Gpuenv:
    """Runs the command as a user would, in a process of its own."""

    environment: dict[str, str]
    tiny: Tiny
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def images(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """Build the tiny variant's cpu image."""
        return self.run("images", "--variant", self.tiny.name, "--flavor", "cpu", **settings)

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; ``settings`` are variables of its environment."""
        return subprocess.run(
            [sys.executable, "-m", "gpuenv", *arguments],
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def start_images(self, **settings: str) -> subprocess.Popen[str]:
        """Begin to build, in a process group of its own."""
        return self.start("images", "--variant", self.tiny.name, "--flavor", "cpu", **settings)

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start the command in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "gpuenv", *arguments],
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process


@dataclass(frozen=True)
class OwnEngine:
    """A private engine of one test: its address, its process number, its state folder."""

    url: str
    pid: int
    state: Path


def plain_environment() -> dict[str, str]:
    """This process's environment without what decides how a build reaches its index."""
    network = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "DOCKER_HOST")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in network and not name.startswith(("PIP_", "GPUENV_")) and not name.lower().endswith("_proxy")
    }


def copy_bases(source: docker.DockerClient, url: str) -> None:
    """Spare the making of a base: a local one is taken over from another engine."""
    client = docker.DockerClient(base_url=url)
    for base in source.images.list(name="gpuenv-base"):
        with tempfile.TemporaryFile() as archive:
            for chunk in base.save(named=True):
                archive.write(chunk)
            archive.seek(0)
            client.images.load(archive)
    client.close()
