"""The commands that mend a machine, for each system where they differ. Pure data.

Systems are those of :mod:`gpuenv.host.systems`; ``*`` is for all that have no entry of their own. They are written
for a user with sudo and a system with systemd; :func:`fit` is for all others.
"""

from __future__ import annotations

import re

#: What starts and stops services here; "" where nothing does, as in most containers.
SYSTEMD, SYSV, OPENRC = "systemd", "sysv", "openrc"
_DOCKER_DESKTOP = "switch on Docker Desktop's integration for this distribution (Settings, Resources, WSL integration)"
_TOOLKIT_SET_UP = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
_TOOLKIT_PAGE = "its repository: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/"

REMEDIES: dict[str, dict[str, str]] = {
    "install-engine": {
        "debian": "sudo apt-get install docker.io && sudo usermod -aG docker $USER  (then log in again)",
        "fedora": "sudo dnf install moby-engine && sudo systemctl enable --now docker && sudo usermod -aG docker $USER",
        "arch": "sudo pacman -S docker docker-buildx && sudo systemctl enable --now docker"
        " && sudo usermod -aG docker $USER",
        "wsl2": f"winget.exe install Docker.DockerDesktop, then {_DOCKER_DESKTOP}",
        "windows": "wsl --install, then winget install Docker.DockerDesktop, and work inside WSL2",
        "macos": "brew install --cask docker, then start Docker Desktop",
        "*": "install Docker or Podman with the distribution's package manager",
    },
    "start-engine": {
        "wsl2": f"start Docker Desktop and {_DOCKER_DESKTOP}; or sudo service docker start",
        "windows": "start Docker Desktop",
        "macos": "open -a Docker",
        "*": "sudo systemctl start docker",
    },
    "restart-engine": {
        "wsl2": "wsl.exe --shutdown and restart Docker Desktop; or sudo service docker restart",
        "windows": "restart Docker Desktop",
        "macos": "osascript -e 'quit app \"Docker\"'; open -a Docker",
        "*": "sudo systemctl restart docker",
    },
    "join-group": {"*": "sudo usermod -aG docker $USER && newgrp docker  (or use rootless Docker)"},
    "own-podman": {"*": "systemctl --user enable --now podman.socket"},
    "update-engine": {
        "debian": "sudo apt-get update && sudo apt-get install --only-upgrade docker.io"
        "  (from Docker's own repository: docker-ce)",
        "fedora": "sudo dnf upgrade moby-engine  (from Docker's own repository: docker-ce)",
        "arch": "sudo pacman -Syu docker",
        "wsl2": "update Docker Desktop on Windows: winget.exe upgrade Docker.DockerDesktop",
        "windows": "winget upgrade Docker.DockerDesktop",
        "macos": "brew upgrade --cask docker",
        "*": "update Docker with the distribution's package manager",
    },
    "install-builder": {
        "debian": "sudo apt-get install docker-buildx  (from Docker's own repository: docker-buildx-plugin)",
        "fedora": "sudo dnf install docker-buildx  (from Docker's own repository: docker-buildx-plugin)",
        "arch": "sudo pacman -S docker-buildx",
        "*": "update Docker Desktop, which brings the buildx plugin",
    },
    "storage-driver": {
        "*": 'put {"storage-driver": "overlay2"} into /etc/docker/daemon.json, then sudo systemctl restart docker'
        " (images have to be built again)"
    },
    "install-toolkit": {
        "debian": f"sudo apt-get install nvidia-container-toolkit && {_TOOLKIT_SET_UP}  ({_TOOLKIT_PAGE})",
        "fedora": f"sudo dnf install nvidia-container-toolkit && {_TOOLKIT_SET_UP}  ({_TOOLKIT_PAGE})",
        "arch": f"sudo pacman -S nvidia-container-toolkit && {_TOOLKIT_SET_UP}",
        "wsl2": f"Docker Desktop brings it; for a Docker inside WSL2: sudo apt-get install nvidia-container-toolkit && "
        f"sudo nvidia-ctk runtime configure --runtime=docker && sudo service docker restart  ({_TOOLKIT_PAGE})",
        "*": f"install nvidia-container-toolkit, then {_TOOLKIT_SET_UP}",
    },
    "configure-toolkit": {"*": _TOOLKIT_SET_UP},
    "make-cdi": {"*": "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"},
    "install-driver": {
        "debian": "sudo ubuntu-drivers install  (Ubuntu), or sudo apt-get install nvidia-driver  (Debian, section "
        "non-free); then sudo reboot",
        "fedora": "sudo dnf install akmod-nvidia  (from RPM Fusion); then sudo reboot",
        "arch": "sudo pacman -S nvidia; then sudo reboot",
        "wsl2": "install NVIDIA's driver on Windows (none inside WSL2), then wsl.exe --shutdown",
        "windows": "install NVIDIA's driver from https://www.nvidia.com/drivers",
        "*": "install NVIDIA's driver, then restart",
    },
    "purge-driver": {"*": "sudo apt-get purge '^libnvidia-.*' '^nvidia-driver.*', then wsl.exe --shutdown"},
    "restart": {
        "wsl2": "wsl.exe --shutdown, then open it again",
        "*": "sudo reboot  (or, while no program uses the GPU: sudo modprobe -r nvidia_uvm nvidia_drm nvidia_modeset "
        "nvidia && sudo modprobe nvidia)",
    },
    "ask-driver": {
        "wsl2": "nvidia-smi.exe on Windows, then wsl.exe --shutdown",
        "*": "nvidia-smi; sudo dmesg | grep -i nvrm",
    },
    "load-nodes": {"*": "sudo modprobe nvidia && sudo nvidia-modprobe -c=0"},
    "load-uvm": {
        "debian": "sudo apt-get install nvidia-modprobe && sudo nvidia-modprobe -u -c=0",
        "fedora": "sudo dnf install nvidia-modprobe && sudo nvidia-modprobe -u -c=0",
        "*": "sudo modprobe nvidia-uvm && sudo nvidia-modprobe -u -c=0",
    },
    "open-nodes": {"*": "sudo usermod -aG video,render $USER, then log in again"},
    "make-room": {"*": "docker system df; docker system prune  (and make clean for what gpuenv made)"},
    "make-room-private": {"*": "make clean; or set GPUENV_STATE_DIR to a folder on a larger disk"},
    "make-room-here": {"*": "make clean; or set GPUENV_CACHE_DIR to a folder on a larger disk"},
    "more-engine-memory": {
        "wsl2": "set memory=8GB under [wsl2] in %UserProfile%\\.wslconfig, then wsl.exe --shutdown",
        "windows": "set memory=8GB under [wsl2] in %UserProfile%\\.wslconfig, then wsl --shutdown",
        "*": "give its virtual machine more memory (Docker Desktop: Settings, Resources)",
    },
    "ask-memory": {"macos": "vm_stat; sysctl hw.memsize", "windows": "systeminfo", "*": "free --human"},
    "ask-avx": {"macos": "sysctl machdep.cpu.features | grep -c AVX1.0", "*": "grep -c avx /proc/cpuinfo"},
    "install-authorities": {
        "debian": "sudo apt-get install ca-certificates",
        "wsl2": "sudo apt-get install ca-certificates",
        "fedora": "sudo dnf install ca-certificates",
        "arch": "sudo pacman -S ca-certificates",
        "*": "install the package ca-certificates, or export SSL_CERT_FILE=<a bundle in PEM form>",
    },
    "more-memory": {
        "wsl2": "set memory=8GB under [wsl2] in %UserProfile%\\.wslconfig, then wsl.exe --shutdown",
        "macos": "give Docker Desktop more memory (Settings, Resources)",
        "*": "close other programs: free --human shows what is there",
    },
    "update-kernel": {"wsl2": "wsl.exe --update && wsl.exe --shutdown", "*": "use a newer release of the system"},
    "set-clock": {
        "wsl2": "sudo hwclock --hctosys  (or wsl.exe --shutdown)",
        "windows": "w32tm /resync",
        "macos": "sudo sntp -sS time.apple.com",
        "*": "sudo timedatectl set-ntp true",
    },
    "trust-authority": {
        "debian": "sudo cp campus.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates",
        "wsl2": "sudo cp campus.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates",
        "fedora": "sudo cp campus.crt /etc/pki/ca-trust/source/anchors/ && sudo update-ca-trust",
        "arch": "sudo trust anchor --store campus.crt",
        "*": "export SSL_CERT_FILE=/path/to/campus-bundle.pem",
    },
    #: The bundle that `trust-authority` puts a certificate into.
    "bundle": {
        "fedora": "/etc/pki/tls/certs/ca-bundle.crt",
        "macos": "/path/to/campus-bundle.pem",
        "windows": "C:\\path\\to\\campus-bundle.pem",
        "*": "/etc/ssl/certs/ca-certificates.crt",
    },
}


def find_remedy(name: str, system: str) -> str:
    """The command called ``name`` for ``system``."""
    known = REMEDIES[name]
    return known.get(system, known["*"])


#: How a service is started or restarted, by what manages services.
_SERVICE = {SYSV: "service docker {}", OPENRC: "rc-service docker {}"}
#: Where nothing does, a daemon is started by hand.
_BY_HAND = {
    "start": "sh -c 'dockerd >/var/log/dockerd.log 2>&1 &'",
    "restart": "sh -c 'pkill -x dockerd; sleep 3; dockerd >/var/log/dockerd.log 2>&1 &'",
}
_DATE = """date --utc --set "$(curl -sI http://example.com | sed -n 's/^[Dd]ate: //p' | tr -d '\\r')\""""
_JOIN = re.compile(r"(?: && )?sudo usermod -aG \S+ \$USER(?: && newgrp \w+)?(?:  \((?:then|or) [^)]*\))?")


def fit(remedy: str, *, is_root: bool, init: str) -> str:
    """A remedy for who asks: root needs neither sudo nor a group; without systemd services start in another way."""
    if init != SYSTEMD:
        remedy = re.sub(r"systemctl (?:enable --now|start|restart) docker", lambda found: _service(found, init), remedy)
        remedy = remedy.replace("timedatectl set-ntp true", _DATE)
    # What only joins a group is nothing for root, who is kept out by something else.
    return re.sub(r"\bsudo ", "", _JOIN.sub("", remedy).strip() or remedy) if is_root else remedy


def _service(found: re.Match[str], init: str) -> str:
    verb = "restart" if " restart " in found[0] else "start"
    return _SERVICE[init].format(verb) if init in _SERVICE else _BY_HAND[verb]
