"""What speech costs: CPU seconds per second of audio, memory, and the error of word times.

Run as `python benchmarks/speech.py [hibari|kokoro]`, a process for each engine, since memory is counted per process.
"""

import json
import resource
import sys
import time

import numpy as np

from cm_assets.engines.speech.alignment import align
from cm_assets.engines.speech.catalogue import engine_for
from cm_assets.media.narration import measure, narrate
from cm_assets_tests.engines.sound import COFFEE, onsets


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "hibari"
    voice = engine_for("af_heart", [name])
    started = cpu()
    voice.speak("Hello.", voice="af_heart", speed=1, language="en")
    load = cpu() - started
    started = cpu()
    speech = voice.speak(COFFEE, voice="af_heart", speed=1, language="en")
    seconds = len(speech.samples) / speech.sample_rate
    speaking = (cpu() - started) / seconds
    starts = np.array([word.start for word in speech.words])
    found = [starts[np.argmin(np.abs(starts - heard))] - heard for heard in onsets(speech.samples, speech.sample_rate)]
    errors = np.array([error for error in found if abs(error) < 0.2])
    started = cpu()
    align(COFFEE, speech.samples, speech.sample_rate)
    aligning = (cpu() - started) / seconds
    started = time.process_time()
    track = narrate([COFFEE], lambda _text: speech, progress=lambda _share: None)
    loudness, peak = measure(track.samples)
    print(
        json.dumps(
            {
                "engine": name,
                "audio seconds": round(seconds, 1),
                "load, CPU s": round(load, 2),
                "speaking, CPU s per audio s": round(speaking, 4),
                "aligning, CPU s per audio s": round(aligning, 4),
                "track and loudness, CPU s per audio s": round((time.process_time() - started) / seconds, 4),
                "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "word start error, ms: median, 90 % within": [
                    round(float(np.median(errors)) * 1000),
                    round(float(np.percentile(np.abs(errors), 90)) * 1000),
                ],
                "words a minute": round(60 * len(speech.words) / seconds),
                "LUFS, dBFS": [loudness, peak],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
