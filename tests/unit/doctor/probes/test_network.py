"""The probe of the network: which addresses are asked, and what settings are found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.doctor import make_wish
from gpuenv.cuda.files import file_name
from gpuenv.doctor.probes import network as doctor_probe_network
from gpuenv.net.questions import Answer, Question
from gpuenv.variants.cuda_lock import load_cuda_lock


def test_every_kind_of_address_is_asked_and_settings_are_the_hosts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Question] = []

    def ask_all(questions: list[Question]) -> Mapping[str, Answer]:
        asked.extend(questions)
        return {one.url: Answer(one.kind, one.name, "no connection") for one in questions}

    monkeypatch.setattr(doctor_probe_network, "ask_all", ask_all)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@index.example/simple/")
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy:3128")
    found = doctor_probe_network.network(make_wish())
    assert {"index", "registry", "archive"} <= {one.kind for one in asked}
    assert next(one for one in asked if one.kind == "index").name == "index.example"
    assert found.proxies == (("https_proxy", "http://proxy:3128"),)
    assert all("can be reached" in (reason or "") for reason in found.archive_obstacles.values())
    assert found.index_obstacles.keys() == found.archive_obstacles.keys()
    assert all("index: no connection" in (reason or "") for reason in found.index_obstacles.values())
    assert "secret" not in repr(found)


def test_settings_that_cannot_be_used_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor_probe_network, "ask_all", lambda asked: {one.url: Answer(one.kind, "x") for one in asked}
    )
    monkeypatch.setenv("PIP_TIMEOUT", "long")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    found = doctor_probe_network.network(make_wish())
    assert "not a number" in str(found.pip_problem)
    assert "is missing" in str(found.bundle_problem)


def test_bundles_that_are_named_and_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    monkeypatch.setattr(
        doctor_probe_network, "ask_all", lambda asked: {one.url: Answer(one.kind, one.name) for one in asked}
    )
    # pip has a bundle of its own, and a weaker variable names one that is not there.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", "/nope.pem")
    found = doctor_probe_network.network(make_wish())
    assert (found.bundle_problem, found.missing_bundles) == (None, (("SSL_CERT_FILE", "/nope.pem"),))
    # Downloads do not read pip's setting: they stop at the missing one.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("PIP_CERT", str(bundle))
    assert "/nope.pem is missing" in str(doctor_probe_network.network(make_wish()).bundle_problem)


def test_archives_of_a_folder_are_asked_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor_probe_network,
        "ask_all",
        lambda asked: {one.url: Answer("archive", "x", "lost") for one in asked},
    )
    variant = make_wish().default
    for part in load_cuda_lock(variant.cuda_lock_path).components:
        (tmp_path / file_name(part.sources[0])).touch()
    found = doctor_probe_network.network(replace(make_wish(), sources_dir=tmp_path))
    reasons = found.archive_obstacles
    assert reasons[variant.name] is None
    assert all("can be reached" in (reason or "") for name, reason in reasons.items() if name != variant.name)


def test_wheels_of_the_index_serve_where_no_archive_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask_all(asked: list[Question]) -> Mapping[str, Answer]:
        return {one.url: Answer(one.kind, one.name, None if ".whl" in one.url else "lost") for one in asked}

    monkeypatch.setattr(doctor_probe_network, "ask_all", ask_all)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple/")
    found = doctor_probe_network.network(make_wish())
    assert set(found.index_obstacles.values()) == {None}
    assert all(found.archive_obstacles.values())
    assert not any(map(found.cuda_obstacle, found.archive_obstacles))


def test_an_index_may_be_a_folder(tmp_path: Path) -> None:
    assert list(doctor_probe_network.folder_index(tmp_path.as_uri())) == [Answer("index-folder", str(tmp_path))]
    assert next(doctor_probe_network.folder_index("file:///nope")).problem == "there is no such folder"
    assert list(doctor_probe_network.folder_index("https://index.example")) == []


def test_the_channels_of_every_conda_environment_are_asked() -> None:
    assert doctor_probe_network.channel_names(make_wish()) == ["conda-forge", "defaults"]
    assert doctor_probe_network.channel_url("defaults").endswith("/main/linux-64/repodata.json")
    assert doctor_probe_network.channel_url("https://mirror/x/") == "https://mirror/x/linux-64/repodata.json"
