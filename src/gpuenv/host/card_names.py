"""Finds the compute capability of a card by its product name, where neither nvidia-smi nor CUDA tells it.

Drivers before 510 know no `nvidia-smi --query-gpu=compute_cap`, and CUDA may not start at all. From NVIDIA's list
"CUDA GPUs" and its list of legacy ones. A name that is not here is unknown, never guessed.
"""

from __future__ import annotations

import re

#: The first that matches counts; what is more special comes first.
_NAMES = (
    ("12.0", r"RTX 50[5-9]0|RTX PRO \d{4} Blackwell"),
    ("10.0", r"\bG?B[12]00\b"),
    ("9.0", r"\bG?H(100|200|800)\b"),
    ("8.9", r"RTX 40[5-9]0|\bL(4|20|40S?)\b|RTX \d{4} (Ada|SFF Ada)"),
    ("8.0", r"\bA(100|800|30)\b"),
    ("8.6", r"RTX (30[5-9]0|2050)|\bA(2|10|10G|16|40)\b|RTX A\d{4}|MX570"),
    ("7.5", r"RTX 20[678]0|GTX 16[3-6]0|TITAN RTX|\bT(4|[4-9]00|1000|1200|2000)\b|Quadro RTX|MX(4|5)50"),
    ("7.0", r"\bV100S?\b|TITAN V|\bGV100\b"),
    ("6.0", r"\bP100\b|\bGP100\b"),
    ("6.1", r"GTX 10[5-8]0|GT 10[13]0|TITAN Xp|TITAN X \(Pascal\)|\bP(4|6|40)\b|MX(150|[23][35]0)\b"),
    ("6.1", r"\bP([56][02]0|400|[1-6]000|[2345]200)\b"),
    ("5.2", r"GTX 9[56]0(?!M)|GTX 9[78]0|GTX TITAN X|\bM(4|6|40|60|2000|4000|5000|6000)\b"),
    ("5.0", r"GTX 7(45|50)|\bM10\b|\b[89][3-6]0MX?\b|MX1[13]0\b|Quadro K(620|1200|2200)"),
    ("3.7", r"\bK80\b"),
    ("3.5", r"\bK(20|40)[mcsx]?\b|GTX 780|GTX TITAN\b|Quadro K(6000|5200)"),
    ("3.0", r"\bK10\b|GTX (6[5-9]0|7[67]0)|GRID K[12]\b|Quadro K(600|2000|4000|4200|5000)"),
)
_PATTERNS = tuple((capability, re.compile(pattern, re.IGNORECASE)) for capability, pattern in _NAMES)


def find_capability(name: str) -> str | None:
    """The compute capability of the card called ``name`` by its driver; None for a name that is not known."""
    return next((capability for capability, pattern in _PATTERNS if pattern.search(name)), None)
