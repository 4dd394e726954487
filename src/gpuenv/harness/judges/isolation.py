"""What a container may do, and what an image may not carry; pure, each raises CheckError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.grounds import require
from gpuenv.harness.judges.identity import FEWEST_FILES, rebuild

HARNESS_BROKEN = "compare src/gpuenv/engine/container.py: the container was not started as it should"


def parse_status(text: str) -> dict[str, str]:
    """The fields of /proc/self/status."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def judge_user(status: Mapping[str, str], expected_uid: int) -> None:
    """Not root, under no name: real, effective, saved and file system user are the caller's."""
    ids = status.get("Uid", "").split()
    if not ids or set(ids) != {str(expected_uid)} or "0" in ids:
        raise CheckError(
            f"the process runs as user {' '.join(ids) or 'unknown'}, not as {expected_uid}",
            "the image or the container sets another user (root?)",
            HARNESS_BROKEN,
        )


def judge_image_user(user: str) -> None:
    """The image's own user, for whoever runs it without gpuenv, is not root."""
    if user.split(":", maxsplit=1)[0] in ("", "0", "root"):
        raise rebuild(f"the image's user is {user or 'root (none is set)'!r}", "no USER in the Dockerfile")


def judge_capabilities(status: Mapping[str, str]) -> None:
    """No capability, and no way to get one."""
    held = {name: status.get(name, "?") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")}
    wrong = {name: value for name, value in held.items() if value.strip("0") != ""}
    if wrong or status.get("NoNewPrivs") != "1":
        raise CheckError(
            f"capabilities {wrong or 'none'}, NoNewPrivs {status.get('NoNewPrivs')}",
            "the container has privileges that training does not need",
            HARNESS_BROKEN,
        )


def judge_rights(searched: int, special: Sequence[str], closed: Mapping[str, str]) -> None:
    """No program gives its caller rights of others, and the home folder is open to any user."""
    if searched < FEWEST_FILES:
        raise rebuild(f"only {searched} files were looked at", "the folder that was searched is not an environment")
    if special:
        raise rebuild(
            f"{len(special)} programs give their caller another's rights: {'; '.join(special[:5])}",
            "a package or a step of the build brought them; nothing here needs them",
        )
    if closed:
        folder, why = min(closed.items())
        raise rebuild(f"not every user can write {folder}", f"{why}: it has to be open, as /tmp is: any user may come")


def judge_network(interfaces: Sequence[str]) -> None:
    """Only the loopback interface: what passed here passed without a network."""
    require({"lo"} & set(interfaces), "loopback interface")
    others = sorted(set(interfaces) - {"lo"})
    if others:
        raise CheckError(f"there is a network: {', '.join(others)}", "not --network none", HARNESS_BROKEN)


def judge_owner(found: tuple[int, int], expected: tuple[int, int]) -> None:
    """A file made in /work belongs to the caller."""
    if found != expected:
        raise CheckError(
            f"a file made in /work belongs to {found[0]}:{found[1]}, not to {expected[0]}:{expected[1]}",
            "user namespaces, or a container that runs as another user",
            HARNESS_BROKEN,
        )


def judge_layers(searched: int, problems: Sequence[str]) -> None:
    """Nothing of the build's host is in any layer."""
    if searched < 100:
        raise CheckError(
            f"only {searched} files were found in the image's layers",
            "the engine saves images in a form that is not known here",
            "report this with the engine's version (docker version)",
        )
    if problems:
        raise rebuild(
            f"{len(problems)} things of the build's host are in the image: {'; '.join(problems[:5])}",
            "a RUN step left them behind; deleting them in a later step does not remove them",
        )


def judge_history(steps: Sequence[str], environment: Sequence[str], secrets: Sequence[str]) -> None:
    """Neither the image's history nor its environment names a proxy, an index or a folder of the build's host."""
    require(steps, "step of the image's history")
    require([secret for secret in secrets if secret], "text of the build's host to look for")
    texts = [*steps, *environment]
    leaked = sorted({secret for secret in secrets if secret and any(secret in text for text in texts)})
    proxies = [one for one in environment if one.lower().split("=")[0].endswith("_proxy")]
    if leaked or proxies:
        raise rebuild(
            f"the image's settings or history name {', '.join(leaked + proxies)}", "an ARG or ENV of the build was kept"
        )


def judge_world_writable(paths: Sequence[str]) -> None:
    """Nobody but its owner can change an installed file."""
    if paths:
        raise rebuild(
            f"anybody can change {len(paths)} or more installed files, such as {paths[0]}",
            "the environment was made with a umask of 0, or changed later",
        )
