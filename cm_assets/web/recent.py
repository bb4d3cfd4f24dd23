"""What is found out now and then, and good for a while."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A value that is good for a while.

    Args:
        make: finds it out.
        seconds: for which it is good.
    """

    def __init__(self, make: Callable[[], Value], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._made = -1e9

    def __call__(self) -> Value:
        """The value."""
        if time.monotonic() - self._made > self._seconds:
            self._value = self._make()
            self._made = time.monotonic()
        return self._value

    def forget(self) -> None:
        """Find it out again the next time."""
        self._made = -1e9
