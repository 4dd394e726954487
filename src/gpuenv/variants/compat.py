"""Decides whether a driver and its cards (compute capability) serve a variant, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpuenv.variants.model import Variant, numbers

#: NVIDIA's names for the generations, by compute capability; the longest match counts.
GENERATIONS = {
    "3": "Kepler",
    "5": "Maxwell",
    "6": "Pascal",
    "7": "Volta",
    "7.5": "Turing",
    "8": "Ampere",
    "8.9": "Ada",
    "9": "Hopper",
    "10": "Blackwell",
    "12": "Blackwell",
}
#: Systems on which the driver is the one of Windows, which has version numbers of its own.
WINDOWS_DRIVER = ("wsl2", "windows")


@dataclass(frozen=True)
class Card:
    """A GPU as far as compatibility goes; ``capability`` is None where it could not be found out."""

    number: int
    name: str
    capability: str | None


@dataclass(frozen=True)
class Serving:
    """Whether a host's GPUs can serve a variant: by which cards, and why the others not."""

    variant: Variant
    cards: tuple[int, ...]
    reasons: tuple[str, ...]

    @property
    def is_served(self) -> bool:
        """Whether at least one card serves, or may: nothing that is known speaks against it."""
        return bool(self.cards)


def generation(capability: str) -> str:
    """``" (Turing)"`` for ``"7.5"``; empty for a generation that has no name here yet."""
    names = [name for start, name in GENERATIONS.items() if capability == start or capability.startswith(f"{start}.")]
    return f" ({names[-1]})" if names else ""


def driver_floor(variant: Variant, system: str) -> str:
    """The lowest driver that serves the variant's CUDA on ``system`` (as in :mod:`gpuenv.host.systems`)."""
    return variant.cuda.driver_windows if system in WINDOWS_DRIVER else variant.cuda.driver_linux


def is_driver_enough(driver: str, floor: str) -> bool:
    """Whether a driver is not older than the lowest that serves."""
    return numbers(driver) >= numbers(floor)


def serves(variant: Variant, capability: str) -> bool:
    """Whether the variant's wheel and libraries have code for cards of this compute capability."""
    lowest, highest = map(numbers, variant.cuda.compute_capability)
    return lowest <= numbers(capability) <= highest


def describe_refusal(variant: Variant, name: str, capability: str) -> str:
    """That the variant does not serve a card, with the figures."""
    lowest, highest = variant.cuda.compute_capability
    return (
        f"{name} has compute capability {capability}{generation(capability)}, "
        f"{variant.name} serves {lowest} to {highest}"
    )


def serving_variants(capability: str, variants: Sequence[Variant]) -> list[str]:
    """The names of the variants that serve a card, in their order."""
    return [variant.name for variant in variants if serves(variant, capability)]


def judge(variant: Variant, driver: str, cards: Sequence[Card], system: str) -> Serving:
    """Compare a host's driver and cards with what the variant needs."""
    floor = driver_floor(variant, system)
    if not is_driver_enough(driver, floor):
        return Serving(
            variant, (), (f"driver {driver} is older than {floor}, the lowest for CUDA {variant.cuda.version}",)
        )
    if not cards:
        return Serving(variant, (), ("the driver names no card",))
    refused = [card for card in cards if card.capability is not None and not serves(variant, card.capability)]
    return Serving(
        variant,
        tuple(card.number for card in cards if card not in refused),
        tuple(dict.fromkeys(describe_refusal(variant, card.name, card.capability or "") for card in refused)),
    )
