"""What a target has to be: versions, installed set, files, imports. Pure; each raises CheckError."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from packaging.utils import canonicalize_name

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.grounds import require
from gpuenv.variants.model import Variant

REBUILD = "make clean, then build it again: make images"

#: A tenth of what the smallest environment has.
FEWEST_FILES = 1000
#: Lines that a plain `import tensorflow, keras` may print, and why each is harmless.
ALLOWED_LINES = (
    # Keras names its backend at every import.
    "Using TensorFlow backend.",
)


def rebuild(what: str, why: str) -> CheckError:
    """The error for what has to be made again."""
    return CheckError(what, why, REBUILD)


def judge_version(what: str, found: str | None, expected: str) -> None:
    """One version equals the variant's."""
    if found != expected:
        raise rebuild(f"{what} is {found}, the variant says {expected}", f"another {what} was installed")


def judge_added(title: str, added: Mapping[str, str] | None) -> str:
    """What the layer of the user's packages says that it brought, in words; "" if the lock had it all."""
    if added is None:
        raise rebuild(f"{title} has no list of what was added", "it was made otherwise, or something removed the list")
    return ", ".join(f"{canonicalize_name(name)} {version}" for name, version in sorted(added.items()))


def judge_installed(found: Iterable[tuple[str, str]], locked: Mapping[str, str]) -> None:
    """The installed set is the lock's: nothing more, nothing less, no other version, nothing twice."""
    pairs = [(canonicalize_name(name), version) for name, version in found]
    require(pairs, "installed package")
    have = dict(pairs)
    want = {canonicalize_name(name): version for name, version in locked.items()}
    wrong = [f"{name} is missing" for name in sorted(want.keys() - have.keys())]
    wrong += [f"{name} {have[name]} is not in the lock" for name in sorted(have.keys() - want.keys())]
    shared = sorted(have.keys() & want.keys())
    wrong += [f"{name} is {have[name]}, locked {want[name]}" for name in shared if have[name] != want[name]]
    counted = Counter(name for name, _ in pairs)
    wrong += sorted(f"{name} is there more than once" for name, number in counted.items() if number > 1)
    if wrong:
        raise rebuild(
            f"the installed set is not the lock's: {'; '.join(wrong[:10])}{' ...' if len(wrong) > 10 else ''}",
            "something was installed into, or removed from, the environment after it was made",
        )


def judge_records(problems: Mapping[str, list[str]], files: int) -> None:
    """Every file is the one that its distribution came with."""
    if problems:
        named = "; ".join(f"{name}: {found[0]}" for name, found in sorted(problems.items())[:5])
        raise rebuild(
            f"{sum(map(len, problems.values()))} installed files are not what their RECORD says ({named})",
            "a file was edited, lost, or overwritten by another distribution",
        )
    if files == 0:
        raise rebuild("no installed file has a RECORD", "this is not an environment that pip made")


def judge_labels(labels: Mapping[str, str], variant: Variant, flavor: str, lock_digest: str, cuda: str) -> None:
    """The image's labels say what the lock says."""
    expected = {
        "gpuenv.project": "gpuenv",
        "gpuenv.variant": variant.name,
        "gpuenv.flavor": flavor,
        "gpuenv.lock": lock_digest,
        "gpuenv.python": variant.python,
        "gpuenv.tensorflow": variant.tensorflow.version,
        "gpuenv.keras": variant.keras,
        "gpuenv.cuda": cuda,
    }
    wrong = [
        f"{name} is {labels.get(name)!r}, not {want!r}" for name, want in expected.items() if labels.get(name) != want
    ]
    if wrong:
        raise rebuild(f"labels that lie: {'; '.join(wrong)}", "the image was built from another lock, or relabeled")


def judge_settings(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Variables, user, working folder, command and the like are the recipe's: none more, none less, none other."""
    if not expected:
        raise rebuild("no label says what the image's settings should be", "it was not built by this version")
    have, want = ({**settings, **settings.get("Env", {})} for settings in (found, expected))
    wrong = [
        f"{name} is {have.get(name, 'not set')!r}, by the recipe {want.get(name, 'not set')!r}"
        for name in sorted((have.keys() | want.keys()) - {"Env"})
        if have.get(name) != want.get(name)
    ]
    if wrong:
        raise rebuild(
            f"settings that are not the recipe's: {'; '.join(wrong)}",
            "somebody set them in the image: every program in it starts with them",
        )


def judge_strays(strays: Sequence[str], searched: int) -> None:
    """Every file belongs to an installed distribution, or is there for a known reason."""
    if searched < FEWEST_FILES:
        raise rebuild(f"only {searched} installed files were found", "this is not an environment that pip made")
    if strays:
        raise rebuild(
            f"{len(strays)} files belong to no package: {'; '.join(strays[:10])}{' ...' if len(strays) > 10 else ''}",
            "somebody put them there: what is in them changes what every program here does",
        )


def judge_import(name: str, found: Mapping[str, Any] | None) -> None:
    """One distribution of the lock imports."""
    if found is None:
        raise rebuild(f"{name} is not installed", "the lock names it and the target does not have it")
    if found["error"]:
        lines = found["error"].strip().splitlines()
        module = found["modules"][0]
        # The target says what it is called; only a plain name goes into a command.
        shown = (
            f" CMD='python -c \"import {module}\"'" if re.fullmatch(r"[A-Za-z_][\w.]*", module) else ", then import it"
        )
        raise CheckError(
            f"`import {', '.join(found['modules'])}` ({name}) fails",
            lines[-1],
            f"try it: make gpu-shell{shown}",
        )


def judge_quiet(stderr: str, stdout_lines: list[str]) -> None:
    """`import tensorflow, keras` prints nothing that is not on the short list of allowed lines."""
    lines = (line.strip() for line in [*stdout_lines, *stderr.splitlines()])
    noise = [line for line in lines if line and line not in ALLOWED_LINES]
    if noise:
        raise CheckError(
            f"`import tensorflow, keras` prints {len(noise)} lines that are not allowed: {noise[0][:200]}",
            "a package newer than this TensorFlow expects (numpy 1.17 and later print FutureWarnings with 1.12)",
            "make gpu-shell CMD='python -c \"import tensorflow, keras\"'",
        )
