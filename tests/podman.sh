#!/usr/bin/env bash
# tests/podman.sh rootful|rootless: the end-to-end tests of the shell and of building, and the harness, through a real Podman, whose
# service, images and settings live in one folder that is removed at the end. With pytest arguments the shell's tests alone.
# Needs root and Debian or Ubuntu; rootless is a user of the test's own. GPUENV_PODMAN_IMAGES names a Docker engine (URL) that has
# the image of the harness; without it a rootful Podman builds that, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=$1
shift
[ "$kind" = rootful ] || [ "$kind" = rootless ]

if ! { command -v podman && command -v newuidmap && command -v slirp4netns && command -v catatonit; } > /dev/null; then
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
        podman crun runc uidmap slirp4netns fuse-overlayfs catatonit > /dev/null
fi

# Not below TMPDIR: a socket's path has 107 bytes, and the user of its own must get there.
scratch=$(mktemp -d /var/tmp/gpuenv-podman.XXXXXX)
chmod 755 "$scratch"
user=root
service=
finish() {
    status=$?
    if [ -n "$service" ]; then
        run podman rm --all --force --time 0 > /dev/null 2>&1 || true
        kill "$service" 2> /dev/null || true
        wait "$service" 2> /dev/null || true
    fi
    # They stay for five minutes after an exec.
    pkill --full "conmon .*$scratch/" || true
    # What a rootless Podman keeps its namespaces with.
    [ "$user" = root ] || pkill --signal KILL --uid "$user" || true
    for _ in 1 2 3 4 5; do
        if [ "$user" = root ] || userdel "$user" 2> /dev/null; then break; fi
        sleep 1
    done
    # Podman tidies up behind its monitors, and mounts its storage once more for that.
    for _ in 1 2 3 4 5; do
        awk -v folder="$scratch/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount --lazy || true
        if rm -rf "$scratch" 2> /dev/null; then break; fi
        sleep 1
    done
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

python=.venv/bin/python
excluded=()
if [ "$kind" = rootless ]; then
    user=gpuenv-podman
    useradd --home-dir "$scratch/home" --create-home --shell /bin/bash "$user"
    grep -q "^$user:" /etc/subuid || usermod --add-subuids 524288-589823 --add-subgids 524288-589823 "$user"
    # A copy with the packages of .venv, since neither this checkout nor its Python need be readable for others.
    python=$(command -v /usr/bin/python3)
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    [ "$("$python" -c 'import sys; print(sys.version_info[:2])')" = "$(.venv/bin/python -c 'import sys; print(sys.version_info[:2])')" ]
    mkdir "$scratch/project"
    git ls-files -z | xargs -0 cp --parents --no-dereference --target-directory="$scratch/project"
    # The command's own tests are this checkout's; the harness would begin with them.
    find "$scratch/project/tests/unit" -name 'test_*.py' ! -path '*/core/*' -delete
    cp -r "$packages" "$scratch/packages"
    cd "$scratch/project"
    # By a .pth file: the harness takes no PYTHONPATH.
    "$python" -m venv --without-pip "$scratch/venv"
    python="$scratch/venv/bin/python"
    printf '%s\n' "$scratch/project/src" "$scratch/project/tests" "$scratch/packages" \
        > "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
fi
mkdir "$scratch/run" "$scratch/runtime"
network=
if [ "$user" != root ] && ! runuser --user "$user" -- test -w /dev/net/tun; then
    # A network of its own needs that device; without one no port is published.
    network='netns = "host"'
    excluded=(--deselect tests/e2e/test_shell.py::test_a_start_that_is_refused_is_told_once)
fi
cat > "$scratch/containers.conf" << EOF
[containers]
# Podman's own default is above the limit of some machines, and a user cannot raise it.
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
$network
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
$([ ! -d /sys/fs/cgroup/unified ] || echo '# crun refuses a machine with both kinds of cgroups.
runtime = "runc"')
EOF
cat > "$scratch/storage.conf" << EOF
[storage]
driver = "${GPUENV_PODMAN_STORAGE:-overlay}"
graphroot = "$scratch/images"
runroot = "$scratch/run"
EOF
chown -R "$user" "$scratch"
export CONTAINERS_CONF="$scratch/containers.conf" CONTAINERS_STORAGE_CONF="$scratch/storage.conf"
[ "$user" = root ] || export XDG_RUNTIME_DIR="$scratch/runtime"
export DOCKER_HOST="unix://$scratch/podman.sock"
unset DOCKER_CONTEXT DOCKER_TLS_VERIFY

run() {
    if [ "$user" = root ]; then "$@"; else runuser --user "$user" -- env HOME="$scratch/home" "$@"; fi
}

# Replaces the subshell, so that the number is the service's own.
(if [ "$user" = root ]; then exec env TMPDIR="$scratch" podman system service --time 0 "$DOCKER_HOST"; fi
    run env TMPDIR="$scratch" podman system service --time 0 "$DOCKER_HOST") > "$scratch/service.log" 2>&1 &
service=$!
for _ in $(seq 100); do
    [ ! -S "$scratch/podman.sock" ] || break
    sleep 0.1
done
podman --version

check() {
    run "$python" -m "$@" || { tail -5 "$scratch/service.log"; exit 1; }
}

check pytest tests/e2e/test_shell.py tests/e2e/test_podman.py -q -p no:cacheprovider ${excluded[@]+"${excluded[@]}"} "$@"
[ $# = 0 ] || exit 0
if [ -n "${GPUENV_PODMAN_IMAGES:-}" ]; then
    bases=$(docker --host "$GPUENV_PODMAN_IMAGES" images --format '{{.Repository}}:{{.Tag}}' gpuenv-base)
    # shellcheck disable=SC2086 # several names
    docker --host "$GPUENV_PODMAN_IMAGES" save gpuenv:cuda10.0-cpu $bases | run podman load --quiet
fi
export CONTAINER_HOST=$DOCKER_HOST GPUENV_STATE_DIR="$scratch/state" GPUENV_CACHE_DIR="$scratch/cache"
# An interrupted build ends the service of Podman 4.3.1 at times ("semaphore: released more than held"). A base needs a Python
# that a user of the test's own need not be able to read.
if [ "$user" = root ]; then
    check pytest tests/e2e/test_build.py -q -p no:cacheprovider -k "second_run or what_is_in or unknown_authority"
fi
check gpuenv test-env --engine=podman --variant=cuda10.0 --flavor=cpu
