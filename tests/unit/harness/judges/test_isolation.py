"""No program gives rights, and the home is open."""

from __future__ import annotations

import pytest

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges import isolation
from gpuenv.harness.judges.identity import FEWEST_FILES


def test_rights() -> None:
    isolation.judge_rights(FEWEST_FILES, [], {})
    with pytest.raises(CheckError, match=r"1 programs give their caller another's rights: /bin/su \(setuid\)"):
        isolation.judge_rights(FEWEST_FILES, ["/bin/su (setuid)"], {})
    with pytest.raises(CheckError, match="not every user can write /home/user") as caught:
        isolation.judge_rights(FEWEST_FILES, [], {"/home/user/.nv": "x", "/home/user": "Permission denied"})
    assert caught.value.why.startswith("Permission denied")
    with pytest.raises(CheckError, match="only 999 files"):
        isolation.judge_rights(FEWEST_FILES - 1, [], {})
