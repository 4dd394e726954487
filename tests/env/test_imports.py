"""Group imports: every distribution of the lock imports, and the frameworks do so without noise."""

from __future__ import annotations

import pytest
from packaging.utils import canonicalize_name

from gpuenv.harness.judges import identity as judge
from gpuenv.harness.targets.connection import ProgramResult


@pytest.mark.check("imports/distribution")
def test_distribution_imports(imported: ProgramResult, distribution: str) -> None:
    """Fails: protobuf 4 (tensorflow), one package less, a package of the wrong era (keras)."""
    judge.judge_import(distribution, imported.data.get(canonicalize_name(distribution)))


@pytest.mark.check("imports/quiet")
def test_frameworks_import_without_noise(frameworks: ProgramResult) -> None:
    """Fails: warnings on import (numpy 1.17 and later under TensorFlow 1.12)."""
    judge.judge_quiet(frameworks.output.stderr, frameworks.output.stdout.strip().splitlines()[:-1])
