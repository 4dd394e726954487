"""`gpu-shell`: a prompt, or one command, inside an environment that is found or built."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuenv.core import ui
from gpuenv.core.errors import UsageError
from gpuenv.core.settings import Settings, in_utf8
from gpuenv.engine import container as containers
from gpuenv.engine.find import find_engine
from gpuenv.engine.model import Engine
from gpuenv.engine.shared_folder import marked, unseen
from gpuenv.host import gpu
from gpuenv.host.gpu import HostGpus
from gpuenv.host.processor import check_host
from gpuenv.shell import own_code, terminal, workspace
from gpuenv.shell import words as shell_words
from gpuenv.shell.own_code import Shared
from gpuenv.variants import model as variants
from gpuenv.variants.model import Variant

if TYPE_CHECKING:
    from gpuenv.images.context import Built

_RECODE = "type it anew in UTF-8 (a script: `iconv -f EUC-KR -t UTF-8`), or set ENGINE=venv: no container"


@dataclass(frozen=True)
class Request:
    """What the user asked for, checked as far as that goes without an engine."""

    variant: Variant
    flavor: str
    work: Path
    command: str | None
    host: HostGpus
    #: The GPUs to ask the engine for; empty for the CPU.
    devices: Sequence[Mapping[str, Any]]
    port: int | None


def run(settings: Settings) -> int:
    """`gpuenv gpu-shell`: returns the exit code of what ran."""
    request = parse_request(settings, gpu.host_gpus())
    if settings.add:
        from gpuenv.net import requirements

        settings = requirements.located(settings, request.work)
    # Before an engine is looked for: it might be installed for nothing.
    check_host()
    # An environment of this machine may have been named.
    engine = None if settings.prefix else find_engine(settings.engine)
    tail = bytearray()
    if engine is None:
        from gpuenv.shell import prefix as prefix_shell

        code = prefix_shell.run(settings, request.variant, request.work, request.command, tail)
    else:
        code = _run_in_container(engine, request, settings, tail)
    if code != 0:
        if request.command is not None:
            _explain(tail.decode("utf-8", "replace"))
        ui.say(shell_words.exit_line(code, is_command=request.command is not None))
    return code


def parse_request(settings: Settings, host: HostGpus) -> Request:
    """Check what was asked for. Raises UsageError and HostError, before anything is built or started."""
    work = workspace.check_work(settings.work)
    if settings.prefix:
        from gpuenv.prefix import choice as prefix_choice

        prefix_choice.refuse_container(settings)
        variant = prefix_choice.find_variant(settings)
    else:
        variant = variants.find_variant(settings.variant)
    flavor = settings.flavor or gpu.default_flavor(host)
    if flavor == "cpu" and settings.flavor and settings.gpus not in (None, "none"):
        raise UsageError(
            f"GPUS={settings.gpus} with FLAVOR=cpu", "the cpu flavor cannot use a GPU", "leave one of them out"
        )
    devices = gpu.device_requests(settings.gpus, host)
    return Request(variant, flavor, work, settings.cmd, host, devices if flavor == "gpu" else [], settings.port)


def _explain(output: str) -> None:
    """Say what is known of a failed command, from the end of what it wrote; nothing if nothing is."""
    from gpuenv.explain import command as explain

    known = explain.diagnose(output)
    if known is not None:
        ui.say(f"this shows in its output: {known.cause}")
        if known.remedy:
            ui.say(f"  next:  {known.remedy}")


def _run_in_container(engine: Engine, request: Request, settings: Settings, tail: bytearray) -> int:
    from gpuenv.cuda import choice as cuda_choice
    from gpuenv.images import image
    from gpuenv.shell.session import run_attached

    # Before anything is built.
    if request.port and engine.network == "host":
        raise UsageError(
            f"PORT={request.port} cannot be opened on 127.0.0.1 alone",
            "containers of this engine use this machine's own network, as it could make no other when it started; what "
            "listens in one at all addresses is open to everybody who reaches the machine",
            f"leave PORT out and have the program listen there: `jupyter lab --ip=127.0.0.1 --port={request.port}`",
        )
    work = own_code.shared(request.work, workspace.WORK_INSIDE)
    in_utf8("CMD", request.command or "", _RECODE)
    find = partial(image.find_made, engine, settings)
    environment = cuda_choice.environment(settings, request.variant, request.flavor, find)
    built = image.ensure_image(engine, environment, settings)
    device = shell_words.device(request.host, request.flavor, request.devices, built.labels.get("gpuenv.cuda"))
    told = in_utf8("WORK", f"{request.work}{work.note}")
    ui.say(shell_words.environment_line(built.labels, device, told, settings.add))
    has_terminal = wants_terminal(request.command, [os.isatty(number) for number in range(3)])
    with marked(work.marked) as mark:
        spec = make_spec(engine, built, request, replace(work, marked=mark), has_terminal=has_terminal)
        for name in workspace.local_proxies(spec.environment) if engine.network != "host" else ():
            ui.warn(f"{name} points to this machine itself; programs in the container cannot reach that")
        code = run_attached(engine, spec, mark, tail)
        if code == workspace.UNSEEN and mark.exists():
            raise unseen(request.work)
    return code


def wants_terminal(command: str | None, are_terminals: Sequence[bool]) -> bool:
    """Whether the container gets a terminal, from what our three streams are.

    A terminal has one output only: with a command, whose errors somebody may have sent elsewhere, all three have to
    be terminals; for a prompt input and output suffice.
    """
    return all(are_terminals if command is not None else are_terminals[:2])


def make_spec(engine: Engine, built: Built, request: Request, work: Shared, *, has_terminal: bool) -> containers.Spec:
    """The container of a shell in ``work``, where the mark has been made."""
    uid = os.getuid()
    user, name = containers.user_inside(engine), workspace.user_name(uid)
    if request.command is not None:
        words = ["bash", "-c", "--", in_utf8("CMD", request.command, _RECODE)]
    else:
        # By `env`, as the bash before it drops the prompt that it is given.
        words = [*(["env", f"PS1={shell_words.prompt(built.labels)}"] if has_terminal else []), "bash", "--norc"]
    ca_mounts = workspace.ca_mounts()
    values = workspace.environment(os.environ, name, has_bundle=bool(ca_mounts), tty=has_terminal)
    # Meant for containers, where the caller's own may name this machine.
    values.update(engine.container_proxies())
    # What is published is the container's own address.
    values.update(workspace.port_variables(request.port, "0.0.0.0"))  # noqa: S104
    if not has_terminal:
        # docker-init passes signals on to bash alone, which waits for its child first; with this to the child as well.
        values["TINI_KILL_PROCESS_GROUP"] = "1"
    return containers.Spec(
        name=containers.new_name("shell"),
        image=built.tag,
        command=workspace.entry(str(work.marked.relative_to(request.work)), workspace.names(user, name), words),
        user=user,
        network=engine.network,
        groups=containers.shared_groups(request.work, Path("/dev/nvidiactl")),
        environment=values,
        labels=containers.own_labels(),
        mounts=(*work.mounts, *containers.volumes(uid), *ca_mounts),
        device_requests=request.devices,
        working_dir=workspace.WORK_INSIDE,
        port=request.port,
        tty=has_terminal,
        stdin=terminal.input_descriptor() is not None,
        log=log_config(engine.kind, is_kept=request.command is not None),
    )


def log_config(kind: str, *, is_kept: bool) -> dict[str, Any]:
    """What the engine keeps of the output: the last megabyte or two, to explain a command that fails."""
    if not is_kept:
        return {"Type": "none"}
    if kind == "podman":
        return {"Type": "k8s-file"}
    return {"Type": "local", "Config": {"max-size": "1m", "max-file": "2", "compress": "false"}}
