"""What the libraries of CUDA have to tell of themselves; pure, each raises CheckError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpuenv.core.errors import CheckError
from gpuenv.harness.judges.grounds import require
from gpuenv.harness.judges.identity import rebuild
from gpuenv.variants.cuda_lock import family
from gpuenv.variants.model import numbers

#: Have CUDA's own version, and tell it without a GPU. cuDNN has a version of its own, cuPTI one of its interface.
VERSIONED = ("libcublas", "libcudart", "libcurand", "libcusparse")
#: Carry code for GPUs, as measured on those of CUDA 9.0 and 10.0.
WITH_CODE = ("libcublas", "libcudnn", "libcurand", "libcusparse")
#: The first card of each generation: Kepler (as far as it is served), Maxwell, Pascal, Volta, Turing.
GENERATIONS = ("3.5", "5.0", "6.0", "7.0", "7.5")
#: What cuBLAS and cuDNN answer, both, where there is no device, whether or not there is a libcuda (measured).
NOT_INITIALIZED = 1


def find(loaded: Mapping[str, Mapping[str, Any]], soname: str) -> Mapping[str, Any]:
    """What one library told. Raises CheckError if it does not load."""
    found = loaded[soname]
    if found["error"]:
        raise rebuild(f"{soname} does not load", found["error"])
    return found


def select(sonames: Sequence[str], families: Sequence[str]) -> list[str]:
    """Those of ``sonames`` that belong to one of ``families``, such as ``libcufft``."""
    return [soname for soname in sonames if family(soname) in families]


def _number(version: str, *units: int) -> int:
    """What a library tells of its own version: ``"10.0"`` in units of 1000 and 10 is 10000."""
    return sum(part * unit for part, unit in zip(numbers(version), units))


def judge_cuda_versions(loaded: Mapping[str, Mapping[str, Any]], sonames: Sequence[str], expected: str) -> None:
    """Each of these libraries tells the variant's CUDA version, by all of its functions."""
    require(sonames, "library of CUDA that tells its version")
    number = _number(expected, 1000, 10)
    for soname in sonames:
        told = find(loaded, soname)["told"]
        require(told, f"version of {soname}")
        for function, found in told.items():
            if found != number:
                raise rebuild(
                    f"{soname} says {found} ({function}), the variant says {expected} ({number})",
                    "a library of another CUDA version",
                )


def judge_cudnn_version(told: Mapping[str, int | None], expected: str, floor: str, cuda: str) -> None:
    """CuDNN (7 or 8) is the variant's, not below what TensorFlow was compiled against, and made for its CUDA."""
    found, made_for = told.get("cudnnGetVersion"), told.get("cudnnGetCudartVersion")
    lowest, number = (_number(version, 1000, 100, 1) for version in (floor, expected))
    if found is None or found < lowest:
        raise rebuild(
            f"cuDNN says {found}; TensorFlow was compiled against {floor} ({lowest})",
            "a cuDNN below the floor is refused: every convolution would fail on a GPU",
        )
    if found != number:
        raise rebuild(f"cuDNN says {found}, the variant says {expected}", "another cuDNN was installed")
    if made_for != _number(cuda, 1000, 10):
        raise rebuild(
            f"cuDNN says that it was made for CUDA {made_for}, the variant has {cuda}",
            "each version of cuDNN is made for several of CUDA, under one file name",
        )


def judge_stand_ins(
    loaded: Mapping[str, Mapping[str, Any]], expected: Sequence[str], functions: Mapping[str, Sequence[str]], cuda: str
) -> None:
    """Those that are expected are gpuenv's stand-ins, whole and of the variant's CUDA version, and no other library is.

    ``functions`` are those that TensorFlow wants from each.
    """
    require([one for one in loaded.values() if not one["error"]], "library of CUDA that loads")
    found = {soname for soname, one in loaded.items() if not one["error"] and one["stand_in"]}
    if others := sorted(found - {*expected}):
        raise rebuild(
            f"{', '.join(others)}: gpuenv's stand-in, in place of NVIDIA's library",
            "these libraries are said to be genuine, and this one refuses every call",
        )
    if others := [soname for soname in expected if not find(loaded, soname)["stand_in"]]:
        raise rebuild(
            f"{', '.join(others)}: not gpuenv's stand-in, as it is said to be",
            "it was replaced by hand (make images CUDA=archives makes a complete image), or is not whole",
        )
    for soname in expected:
        judge_cuda_versions(loaded, [soname], cuda)
        wanted = {*functions.get(soname, ())}
        require(wanted, f"list of what TensorFlow wants from {soname}")
        missing = sorted(wanted - {*loaded[soname]["exports"]})
        if missing:
            raise rebuild(
                f"the stand-in for {soname} lacks {len(missing)} functions, the first is {missing[0]}",
                "TensorFlow wants them: it does not load, or ends when it calls one",
            )


def judge_gpu_code(found: Mapping[str, list[str]], capability: tuple[str, str]) -> None:
    """The wheel has code for the lowest promised compute capability, and something for the highest."""
    if not all(_serves(found, one) for one in capability):
        raise rebuild(
            _describe_code("TensorFlow", found, capability), "another TensorFlow wheel (a cpu wheel has none)"
        )


def judge_library_code(
    loaded: Mapping[str, Mapping[str, Any]], sonames: Sequence[str], capability: tuple[str, str]
) -> None:
    """Each of these libraries has code for every generation of cards that is promised."""
    require(sonames, "library with code for GPUs")
    low, high = map(numbers, capability)
    promised = [one for one in (*capability, *GENERATIONS) if low <= numbers(one) <= high]
    for soname in sonames:
        code = find(loaded, soname)["gpu_code"]
        if not all(_serves(code, one) for one in promised):
            raise rebuild(_describe_code(soname, code, capability), "a library for other cards: one was replaced")


def _serves(code: Mapping[str, list[str]], capability: str) -> bool:
    """Machine code serves later cards of the same major version; PTX serves every later card."""
    card = numbers(capability)
    machine, portable = (list(map(numbers, code[kind])) for kind in ("sass", "ptx"))
    return any(one[0] == card[0] and one <= card for one in machine) or any(one <= card for one in portable)


def _describe_code(who: str, code: Mapping[str, list[str]], capability: tuple[str, str]) -> str:
    sass, ptx = (", ".join(code[kind]) for kind in ("sass", "ptx"))
    has = f"{who} has code for {sass or 'no GPU'}, PTX {ptx or 'none'}"
    return f"{has}; the variant promises {capability[0]} to {capability[1]}"


def judge_handles(handles: Mapping[str, Mapping[str, Any]]) -> None:
    """With a device each library gives a handle and takes it back; without one it refuses, as NVIDIA's does."""
    require(handles, "library that gives handles")
    for function, found in handles.items():
        if found["error"]:
            raise rebuild(f"{function} gives neither a handle nor a status", found["error"])
        status, devices, destroyed = (found[key] for key in ("status", "devices", "destroyed"))
        if not devices and status != NOT_INITIALIZED:
            raise rebuild(
                f"{function} answers {status} where no device is, not {NOT_INITIALIZED} (not initialized)",
                f"it is not NVIDIA's library, or the driver is broken (cuInit gives {found['init']})",
            )
        if devices and (status != 0 or destroyed != 0):
            raise CheckError(
                f"{function} answers {status} where the driver has {devices} devices, at the handle's end {destroyed}",
                "the driver is too old, or the card is not one of those that this CUDA serves",
                "see gpu/driver-floor and gpu/capability; then run `nvidia-smi` on the host",
            )
