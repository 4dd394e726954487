"""Group identity: the target is what its lock says."""

from __future__ import annotations

import hashlib
import json
import shlex

import pytest

from gpuenv.core import paths
from gpuenv.core.errors import CheckError
from gpuenv.engine import container as containers
from gpuenv.engine.model import Engine, labels_in
from gpuenv.harness.judges import identity as judge
from gpuenv.harness.report.model import not_tested
from gpuenv.harness.targets.connection import Connection, ProgramResult
from gpuenv.harness.targets.model import Target
from gpuenv.images import recipe
from gpuenv.images.build import TARGET
from gpuenv.prefix import activate
from gpuenv.variants.locks import linux_pins, load_lock
from gpuenv.variants.model import Variant

#: Where the programs in an image find settings that are in no environment variable and in no package.
SETTINGS_IN_IMAGES = (
    containers.HOME, "/work", "/usr/local/etc", "/usr/local/share/jupyter", "/usr/share/jupyter", "/etc/jupyter",
    "/etc/ipython", "/etc/matplotlibrc", "/etc/pip.conf", "/etc/xdg", "/etc/profile.d", "/etc/ld.so.preload",
)  # fmt: skip


@pytest.mark.check("identity/labels")
@pytest.mark.kinds("image")
def test_labels_say_what_the_lock_says(target: Target, engine: Engine, variant: Variant) -> None:
    """Fails: a label that lies."""
    labels = labels_in(engine.call("GET", f"/images/{target.image}/json"))
    digest = load_lock(variant.lock_path(target.flavor)).digest
    judge.judge_labels(labels, variant, target.flavor, digest, target.cuda)


@pytest.mark.check("identity/settings")
@pytest.mark.kinds("image")
def test_settings_are_the_recipes(target: Target, engine: Engine) -> None:
    """Fails: a variable, a command, an entry point, a port or a volume that the Dockerfile does not set."""
    details = engine.call("GET", f"/images/{target.image}/json")
    expected = json.loads(labels_in(details).get(recipe.LABEL, "{}"))
    judge.judge_settings(recipe.settings_in(details["Config"]), expected)


@pytest.mark.check("identity/python")
def test_python_version(facts: ProgramResult, variant: Variant) -> None:
    """Fails: wrong Python."""
    judge.judge_version("Python", facts["python"], variant.python)


@pytest.mark.check("identity/tensorflow")
def test_tensorflow_version(frameworks: ProgramResult, variant: Variant) -> None:
    """Fails: TensorFlow of another version."""
    judge.judge_version("TensorFlow", frameworks["tensorflow"], variant.tensorflow.version)


@pytest.mark.check("identity/tensorflow-build")
def test_tensorflow_is_built_for_the_flavor(frameworks: ProgramResult, target: Target) -> None:
    """Fails: `tensorflow` beside `tensorflow-gpu`, where whichever was installed last wins."""
    if frameworks["is_cuda_build"] != (target.flavor == "gpu"):
        raise CheckError(
            f"TensorFlow says is_built_with_cuda() = {frameworks['is_cuda_build']} in a {target.flavor} target",
            "`tensorflow` and `tensorflow-gpu` are both installed, or the other flavor's wheel",
            judge.REBUILD,
        )


@pytest.mark.check("identity/keras")
def test_keras_version(frameworks: ProgramResult, variant: Variant) -> None:
    """Fails: Keras 2.3.1; Keras of the wrong era."""
    judge.judge_version("Keras", frameworks["keras"], variant.keras)


@pytest.mark.check("identity/installed-set")
def test_installed_set_equals_the_lock(facts: ProgramResult, target: Target, variant: Variant) -> None:
    """Fails: a package more than the lock, one less, another version (numpy 1.16.4, h5py 3, protobuf 4, gast 0.7)."""
    pins = linux_pins(load_lock(variant.lock_path(target.flavor)))
    added = facts["added"] or {} if target.added else {}
    judge.judge_installed(facts["installed"], {**{pin.name: pin.version for pin in pins}, **added})


@pytest.mark.check("identity/added")
@pytest.mark.added
def test_what_the_user_added_is_named(facts: ProgramResult, target: Target) -> None:
    """Fails: an image that is said to hold packages of the user's, and does not say which."""
    more = judge.judge_added(target.title, facts["added"])
    if more:
        # No check is about them: that is said, and counted.
        pytest.skip(not_tested(f"not the lock's: added by the user ({more})"))


@pytest.mark.check("identity/pip-check")
def test_pip_check(connection: Connection, target: Target) -> None:
    """Fails: numpy 1.20-like under TensorFlow 1.15, protobuf 4, a package less than the lock."""
    output = connection.run(f"{shlex.quote(target.python)} -m pip --disable-pip-version-check check")
    if output.code != 0:
        raise CheckError(
            "`pip check` finds requirements that are not met",
            (output.stdout.strip() or output.stderr.strip() or "no message").splitlines()[0],
            judge.REBUILD,
        )


@pytest.mark.check("identity/records")
def test_files_match_their_records(connection: Connection) -> None:
    """Fails: one file altered; a file overwritten by another distribution."""
    found = connection.program("records")
    judge.judge_records(found["problems"], found["files"])


def files_of_the_recipe(flavor: str) -> dict[str, str]:
    """What the Dockerfile copies into images: the ends of the paths, and the sha256 (hex) of the content."""
    folder = paths.docker_dir()
    names = recipe.copied((folder / "Dockerfile").read_text("utf-8"), TARGET, flavor)
    return {path.lstrip("/"): hashlib.sha256((folder / name).read_bytes()).hexdigest() for path, name in names.items()}


@pytest.mark.check("identity/stray-files")
def test_every_file_belongs_to_a_package(bare: Connection, target: Target) -> None:
    """Fails: a .pth or a sitecustomize that runs code at every start, a program, a ~/.keras/keras.json."""
    # A host may be a container of an image of ours.
    own = files_of_the_recipe(target.flavor) if target.kind in ("image", "host") else {}
    own.update(activate.own_files() if target.kind != "image" else {})
    places = SETTINGS_IN_IMAGES if target.kind == "image" else ()
    found = bare.program("stray", json.dumps({"own": own, "places": places}))
    judge.judge_strays(found["strays"], found["files"])
