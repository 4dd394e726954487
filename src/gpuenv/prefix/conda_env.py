"""`make conda-env`: an environment of conda packages (Python, CUDA) and of the images' own lock (everything else)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gpuenv.conda import channels, condarc, failures, programs, spec
from gpuenv.conda import lock as conda_lock
from gpuenv.conda.lock import CondaLock, Package
from gpuenv.conda.programs import Program
from gpuenv.core import paths, scratch, ui
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings
from gpuenv.cuda import sources
from gpuenv.net import redact
from gpuenv.prefix import activate, pip, trust
from gpuenv.prefix import cuda as prefix_cuda
from gpuenv.prefix.folder import Content, Prefix, place
from gpuenv.prefix.making import Making
from gpuenv.variants import locks
from gpuenv.variants.environment import Environment


def plan(environment: Environment, settings: Settings) -> tuple[Prefix, partial[list[Path]]]:
    """Where the environment is, or will be, and what makes it.

    That raises HostError without a program to make it with, SourceError where a channel or a folder does not give what
    the lock names, BuildError if pip fails.
    """
    variant, flavor = environment.variant, environment.flavor
    spec.of(variant)
    if settings.cuda_lock or settings.cuda == "archives":
        wish = f"CUDA_LOCK={settings.cuda_lock}" if settings.cuda_lock else "CUDA=archives"
        raise UsageError(
            f"{wish} is not for a conda environment",
            "its CUDA comes from its channels ([conda] of variant.toml), or from the package index (CUDA=index)",
            "use ENGINE=venv (or TARGET=venv), or leave it out",
        )
    lock = locks.load_lock(variant.lock_path(flavor))
    _, _, digest = locks.read_checked(spec.path(environment))
    packages = conda_lock.read(variant)
    cuda = prefix_cuda.digest(variant, environment.cuda) if environment.cuda else ""
    sources.check_folder(settings.sources_dir)  # a bad one is told before anything is made
    channels.request(_of_channels(environment), settings)
    content = Content.of(environment, "conda", locks.sha256_hex(digest + packages.digest + cuda))
    prefix = place(content, settings.prefix)
    return prefix, partial(_make, environment, lock, packages, settings)


def _of_channels(environment: Environment) -> Environment:
    """The environment as far as conda makes it: where CUDA comes from elsewhere, as without a GPU."""
    return Environment(environment.variant, "cpu") if environment.cuda else environment


def _make(
    environment: Environment, lock: locks.Lock, packages: CondaLock, settings: Settings, making: Making
) -> list[Path]:
    variant, flavor, prefix = environment.variant, environment.flavor, making.prefix
    if flavor == "gpu":
        prefix_cuda.check_compiler(variant, environment.cuda)
    program = programs.find(settings.conda)
    programs.warn_unverified(os.environ, Path.home(), program.path)
    if program.path:
        trust.check_maker(prefix.folder, program.name)
    else:
        making.claim()
    ui.say(f"making the environment {prefix.folder} with {program.name} (log: {prefix.log})")
    of_channels = _of_channels(environment)
    wanted = packages.of(of_channels.flavor)
    _say_what_is_verified(packages, wanted)
    with scratch.folder("conda") as temporary:
        request = channels.request(of_channels, settings)
        named = ", ".join(map(redact.text, request.channels))
        ui.say(f"installing Python{' and CUDA' if of_channels.flavor == 'gpu' else ''} from {named}")
        # rattler reads none.
        mirrors = condarc.read_mirrors(os.environ, Path.home(), program.path) if program.path else None
        found = channels.locate(request.channels, wanted, temporary, mirrors)
        argv = _argv(program, prefix, found, temporary)
        explain = partial(failures.explain, program=program.name, request=request, log=prefix.log)
        # What lies unpacked in a cache is believed, and linked from there: nobody else's.
        own = {"CONDA_PKGS_DIRS": str(paths.cache_dir() / "conda" / "pkgs")}
        making.run(argv, {**os.environ, **own, **channels.network_variables(os.environ)}, explain)
    # Before anything that was installed is run by us; all programs but rattler have run the packages' link scripts.
    conda_lock.verify_installed(prefix.folder, wanted, packages)
    if environment.cuda is not None:
        # Before the packages: what cannot be had is known within seconds, and TensorFlow takes minutes.
        prefix_cuda.place_libraries(prefix.folder, variant, environment.cuda, settings.sources_dir)
    pip.install(making, environment, lock, settings.sources_dir)
    activate.write_hooks(prefix.folder)
    if flavor != "gpu":
        return []
    if environment.cuda is not None:
        return prefix_cuda.link(prefix.folder, prefix_cuda.libraries(prefix.folder, variant))
    return prefix_cuda.link(prefix.folder, prefix.folder / "lib", spec.cuda_names(variant))


def _say_what_is_verified(lock: CondaLock, packages: Sequence[Package]) -> None:
    """One line for a lock of tests, and one for what nobody has told a sum of."""
    if lock.stand_in:
        ui.warn(f"{lock.path} is a stand-in: tests made the packages that it names")
    bare = ", ".join(f"{package.name} {package.version}" for package in packages if not package.is_hashed)
    if bare:
        ui.warn(f"no sum is known of {bare}: held by version and build alone, and by what the channel itself says")


def _argv(program: Program, prefix: Prefix, found: Sequence[tuple[Package, str]], temporary: Path) -> list[str]:
    if program.path:
        # Its addresses may hold a login.
        explicit = temporary / "explicit.txt"
        explicit.write_text(programs.explicit_list(found), encoding="utf-8")
        return program.argv(prefix.folder, explicit)
    keys = ("name", "version", "build", "build_number", "subdir", "noarch", "sha256", "md5", "size")
    job = {
        "prefix": str(prefix.folder),
        "cache": str(paths.cache_dir() / "conda"),
        "packages": [
            {
                **{key: getattr(package, key) for key in (*keys, "file_name", "depends")},
                "url": url,
                "channel": url.removesuffix(f"/{package.file}"),
            }
            for package, url in found
        ],
    }
    path = temporary / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return [sys.executable, "-I", "-m", "gpuenv.conda.rattler", str(path)]
