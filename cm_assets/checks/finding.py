"""What a check says, and the list of all checks, with those that must hold before a post.

The checks run inside their asset's step: a step of its own would cost each a process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: its name, one of `CHECKS`.
        passed: whether it held.
        why: what was found, for a person.
        metadata: the figures behind it.
    """

    check: str
    passed: bool
    why: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def result(self) -> dg.AssetCheckResult:
        """The finding as Dagster's."""
        return dg.AssetCheckResult(
            check_name=self.check,
            passed=self.passed,
            description=self.why,
            severity=dg.AssetCheckSeverity.ERROR if _BLOCKING[self.check] else dg.AssetCheckSeverity.WARN,
            metadata=dict(self.metadata),
        )


CHECKS: Mapping[str, Mapping[str, tuple[bool, str]]] = {
    "script": {
        "script_length": (False, "The words make about as many seconds as were asked for."),
        "script_repetition": (False, "No sentence is said twice."),
        "script_brand": (False, "The brand's words to use are there, and those to avoid are not."),
    },
    "audio": {
        "speech_rate": (False, "Between 90 and 260 words a minute, at the speed that was asked for."),
        "narration_silence": (
            True,
            "Someone speaks: no scene is silent, no gap of a voice's is longer than two seconds.",
        ),
        "narration_clipping": (False, "The narration does not clip."),
    },
    "background_clips": {
        "clip_sizes": (False, "Every clip fills the frame without being blown up more than twofold."),
        "clips_differ": (False, "No clip is shown twice."),
    },
    "render": {
        "render_length": (True, "Frames and seconds are those of the narration."),
        "render_picture": (True, "No stretch is black, and none of footage is frozen."),
        "render_loudness": (True, "-14 LUFS within half a unit, true peak at most -1 dBTP."),
        "captions_fit": (True, "Every caption lies inside the frame and is shown while its words are spoken."),
    },
}
"""By asset: name -> (whether a failure stops the post, what must hold)."""

_BLOCKING = {name: blocking for checks in CHECKS.values() for name, (blocking, _) in checks.items()}


def specs(asset: str) -> Sequence[dg.AssetCheckSpec]:
    """The specs of an asset's checks."""
    return [
        dg.AssetCheckSpec(name, asset=dg.AssetKey(asset.split("/")), blocking=blocking, description=text)
        for name, (blocking, text) in CHECKS.get(asset, {}).items()
    ]
