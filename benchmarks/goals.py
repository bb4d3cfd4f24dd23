"""Goals of a benchmark: which are met, and exit code 1 at the end if one is missed."""

import sys


class Goals:
    """What is judged in one run of a benchmark."""

    def __init__(self) -> None:
        self._missed: list[str] = []

    def judge(self, what: str, *, met: bool) -> str:
        """`met` or `missed`, to be shown beside the figure."""
        if not met:
            self._missed.append(what)
        return "met" if met else "missed"

    def end(self) -> None:
        """End the benchmark, if a goal is missed, with exit code 1 and its name."""
        if self._missed:
            sys.exit(f"missed: {'; '.join(self._missed)}")
