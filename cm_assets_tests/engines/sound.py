"""Measures of speech that tests share."""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

COFFEE = (
    "Every morning, millions of people reach for coffee. But why does it work? Caffeine blocks a molecule called "
    "adenosine, which builds up in your brain while you are awake. Block it, and the tired feeling fades, for a while. "
    "In 1819, a German chemist named Friedlieb Runge isolated caffeine for the first time. Today we drink more than 2 "
    "billion cups a day. That is 25,000 cups every second! Tea, cocoa, and cola contain it too. Pick wisely, sip "
    "slowly, and take breaks."
)
"""About 30 seconds of ordinary narration."""


def envelope(samples: Samples, sample_rate: int) -> npt.NDArray[np.float64]:
    """Root mean square of every 2 ms."""
    step = sample_rate // 500
    whole = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    return np.asarray(np.sqrt(np.mean(whole**2, axis=1)), np.float64)


def onsets(samples: Samples, sample_rate: int) -> list[float]:
    """Seconds at which sound begins after at least 60 ms below -38 dB of loud speech."""
    levels = envelope(samples, sample_rate)
    loud = np.flatnonzero(levels > np.percentile(levels, 95) * 10 ** (-38 / 20))
    begins = loud[np.diff(loud, prepend=-1000) > 30]
    return [float(place) * 0.002 for place in begins]


def pitch(samples: Samples, sample_rate: int) -> float:
    """Median fundamental frequency of the voiced parts, Hz, by autocorrelation."""
    found = []
    size = sample_rate // 20
    for start in range(0, len(samples) - size, size):
        part = samples[start : start + size] * np.hanning(size)
        if np.sqrt(np.mean(part**2)) < 0.02:
            continue
        echo = np.correlate(part, part, "full")[size - 1 :]
        low, high = sample_rate // 400, sample_rate // 70
        lag = low + int(np.argmax(echo[low:high]))
        if echo[lag] > 0.4 * echo[0]:
            found.append(sample_rate / lag)
    return float(np.median(found))
