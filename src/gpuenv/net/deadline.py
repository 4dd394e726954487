"""Asks several questions at once, in daemon threads: what hangs must not hold up the end of the process either."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class Asked(Generic[Key, Result]):
    """Questions that are being asked, and their answers so far; what a question raises is its answer."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._changed = threading.Condition()
        self._answers: dict[Key, Result | Exception] = {}

    def ask(self, key: Key, question: Callable[[], Result]) -> None:
        """Ask in a thread. Of several questions with the same key the first to be answered counts."""

        def run() -> None:
            answer: Result | Exception
            try:
                answer = question()
            except Exception as error:  # noqa: BLE001 (whoever waits for the answer decides)
                answer = error
            with self._changed:
                self._answers.setdefault(key, answer)
                self._changed.notify_all()

        threading.Thread(target=run, daemon=True).start()

    def wait(self, keys: Collection[Key], seconds: float) -> dict[Key, Result | Exception]:
        """All answers that there are, once each of ``keys`` has one, or ``seconds`` after the beginning."""
        left = max(0.0, self.began + seconds - time.monotonic())
        with self._changed:
            self._changed.wait_for(lambda: self._answers.keys() >= set(keys), left)
            return dict(self._answers)
