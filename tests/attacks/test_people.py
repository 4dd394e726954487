"""The players: an attack by somebody who could do nothing, or everything, would mean nothing."""

from __future__ import annotations

from pathlib import Path

from tiny.people import Person


def test_each_may_write_to_what_is_theirs_alone(stranger: Person, victim: Person, ground: Path) -> None:
    victim.shell("echo mine > ~/mine")
    assert stranger.run(["sh", "-c", f"echo stolen > {victim.home}/mine"]).returncode != 0
    assert stranger.run(["rm", "-f", victim.home / "mine"]).returncode != 0
    stranger.shell(f"echo theirs > {ground}/planted")
    assert (ground / "planted").stat().st_uid == stranger.uid
    assert (victim.home / "mine").read_text() == "mine\n"


def test_they_run_the_command(victim: Person) -> None:
    done = victim.gpuenv("help")
    assert done.returncode == 0, done.stderr
    assert "gpu-shell" in done.stdout
