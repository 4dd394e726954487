"""Every setting: its name, type, default, help and choices. ``cli`` builds one `Settings` from the command line.

``make VERB NAME=value`` sets ``GPUENV_NAME``, which is the default of ``--name``; so all three mean the same.
"""

# ruff: noqa: RUF009 - the calls make fields
from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from gpuenv.core import ui
from gpuenv.core.errors import UsageError, nearest, suggest_known


@dataclass(frozen=True)
class Option:
    """How one setting is given: its help, the values it may take, if few, and how a value is read."""

    help: str
    choices: tuple[str, ...] = ()
    #: Said in the README after the help, with Markdown.
    more: str = ""
    read: Callable[[str], object] = str
    #: The numbers that it may be; empty for a text.
    numbers: Sequence[int] = ()
    is_flag: bool = False
    #: Also taken as the first argument, which the usage line calls by this name.
    argument: str | None = None
    #: The name of the field of `Settings`.
    name: str = ""

    @property
    def make_name(self) -> str:
        """Its name on make's command line, such as ``"CUDA_LOCK"``."""
        return self.name.upper()

    @property
    def variable(self) -> str:
        """The environment variable that holds its default."""
        return f"GPUENV_{self.make_name}"

    @property
    def flag(self) -> str:
        """Its name on the command line, such as ``"--cuda-lock"``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def make_help(self) -> str:
        """Its help where it is given as ``NAME=value``."""
        return f"1: {self.help}" if self.is_flag else self.help

    def refuse_empty(self, text: str | None) -> None:
        """Raise UsageError for a value that was given and is empty; of the environment's own that means not given."""
        if text is not None and not text.strip():
            raise UsageError(
                f"{self.make_name}= is given, but empty",
                "what was to stand there may be a variable that is not set",
                f"give a value, or leave out {self.make_name}=",
            )

    def value(self, text: str) -> object:
        """The value that ``text`` stands for. Raises UsageError for any that it may not be."""
        self.refuse_empty(text)
        if self.numbers and not (text.isascii() and text.isdigit() and int(text) in self.numbers):
            raise UsageError(
                f"{self.make_name}={text} is not usable",
                f"expected a number from {self.numbers[0]} to {self.numbers[-1]}",
                f"name such a number, or leave out {self.make_name}=",
            )
        if self.choices and text not in self.choices:
            raise suggest_known(self.name.replace("_", "-"), text, list(self.choices))
        return self.read(text)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's own raises for an unknown user


def _text(help_: str, choices: tuple[str, ...] = (), **more: Any) -> Any:
    return dataclasses.field(default=None, metadata={"option": Option(help_, choices, **more)})


def _flag(help_: str, more: str = "") -> Any:
    return dataclasses.field(default=False, metadata={"option": Option(help_, more=more, is_flag=True)})


@dataclass(frozen=True)
class Settings:
    """What the user asked for. None or False: not asked for."""

    #: The sub-command, such as ``"gpu-shell"``.
    verb: str = ""
    variant: str | None = _text("which variant (a folder of envs/); the default one if not given")
    flavor: str | None = _text(
        "gpu or cpu; gpu where this machine has an NVIDIA driver", ("gpu", "cpu"), more="`test-env FLAVOR=all`: both"
    )
    engine: str | None = _text(
        "auto, docker, podman, private; venv or conda: no container",
        ("auto", "docker", "podman", "private", "venv", "conda"),
    )
    base: str | None = _text(
        "registry or local: where the base image comes from; auto tries both", ("auto", "registry", "local")
    )
    cuda: str | None = _text(
        "archives: complete; index: of the package index, without cuFFT and cuSOLVER", ("archives", "index")
    )
    cuda_lock: Path | None = _text("another cuda.lock.toml than the variant's", read=_path)
    sources_dir: Path | None = _text(
        "a folder that is asked for archives (CUDA's wheels, too) before any network",
        read=_path,
        more="without a container also for all other wheels, and for conda packages (loose, or a channel)",
    )
    prefix: Path | None = _text(
        "the folder of a conda or virtual environment; one of the cache if not given", read=_path
    )
    channels: str | None = _text("conda channels instead of the variant's: a mirror, or a folder")
    conda: str | None = _text(
        "micromamba, mamba, conda or rattler; the first of them that is here if not given",
        ("micromamba", "mamba", "conda", "rattler"),
    )
    gpus: str | None = _text("all, none, or device numbers such as 0,1")
    work: str | None = _text(
        "the folder to work in (it becomes /work); the current one if not given",
        more="what is created there belongs to you; of gpuenv's own checkout a container can write `work/` alone",
    )
    add: Path | None = _text(
        "a requirements file: its packages are added in a layer of your own",
        read=_path,
        more="looked for in the work folder; what the lock holds stays as it is",
    )
    port: int | None = _text(
        "publish this port of the environment on 127.0.0.1, where Jupyter then listens",
        read=int,
        numbers=range(1, 65536),
    )
    cmd: str | None = _text(
        "run this with bash instead of a prompt",
        more="`gpuenv gpu-shell` returns its exit code; under `make` any failure is 2, so the last line on standard "
        "error names it",
    )
    target: str | None = _text("image, venv or conda: test these alone", ("image", "venv", "conda"))
    hosts: str | None = _text("environments on other machines, such as ssh://lab1 (any connection of testinfra)")
    jobs: int | None = _text(
        "how many targets (test-env) or tests (test-unit) at a time", read=int, numbers=range(1, 1000)
    )
    require_gpu: bool | None = _text(
        "1: a missing GPU is a failure; 0: it is counted as not tested",
        ("0", "1"),
        read="1".__eq__,
        more="a `gpu` image where there is a driver fails without one anyway. The only setting that `make` takes from "
        "the environment too: `REQUIRE_GPU=1 make test-env FLAVOR=gpu`",
    )
    upstream: bool = _flag("also run Keras' own tests in each environment (minutes)")
    log: str | None = _text("the log of what failed; standard input if not given, or for -", argument="FILE")
    json: bool = _flag("print JSON, for programs")
    check: bool = _flag("only say whether the locks are current (needs no network)")
    upgrade: bool = _flag("take the newest versions instead of keeping those locked now")
    yes: bool = _flag(
        "remove without a question, also what other checkouts use",
        more="without a terminal to ask on, `make clean` goes ahead and says so, but what other checkouts use, too, or "
        "what you put into the private engine or beside gpuenv's own things by hand, needs it",
    )
    verbose: bool = _flag("also list what is fine")
    n: int | None = _text("how many rounds; 20 if not given", read=int, numbers=range(1, 100_001))
    seed: int | None = _text(
        "a number that decides what is done, as a soak prints it; a new one if not given",
        read=int,
        numbers=range(2**32),
    )


#: Every setting, by the name of its field.
OPTIONS = {
    field.name: dataclasses.replace(field.metadata["option"], name=field.name)
    for field in dataclasses.fields(Settings)
    if "option" in field.metadata
}

#: The other variables of ours that somebody may set.
_OTHERS = ("STATE_DIR", "CACHE_DIR", "ENVS_DIR", "INSTALL_ENGINE", "DEBUG", "LANG")


def warn_of_misspelled(environ: Mapping[str, str]) -> None:
    """Print a warning for each ``GPUENV_*`` variable that is none of ours and near to one; foreign ones stay quiet."""
    known = {f"GPUENV_{name}" for name in _OTHERS} | {option.variable for option in OPTIONS.values()}
    for variable in (name for name in environ if name.startswith("GPUENV_") and name not in known):
        names = (*_OTHERS, *(option.make_name for option in OPTIONS.values()))
        near = nearest(variable.removeprefix("GPUENV_"), names)
        if near:
            ui.warn(f"{variable} is no variable that is read; did you mean GPUENV_{near}?")


def in_utf8(
    setting: str,
    value: str | PurePath,
    remedy: str = "rename the folder (`convmv -f EUC-KR -t UTF-8 --notest`), or set ENGINE=venv: no container",
    taker: str = "container engines",
) -> str:
    """``value`` as ``taker`` is told it, whatever this process' own encoding. Raises UsageError if it is not UTF-8."""
    raw = os.fsencode(value)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{setting} is not UTF-8: {raw!r}",
            f"it holds bytes of an older encoding, and {taker} take UTF-8 only",
            remedy,
        ) from error
