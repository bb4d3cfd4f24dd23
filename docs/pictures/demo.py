"""Makes docs/demo.webp, three moments of a finished video side by side, moving; run from the repository's root.

python docs/pictures/demo.py VIDEO.mp4
"""

import sys
from pathlib import Path

from cm_assets.media.ffmpeg import find

MOMENTS = (1.2, 8.6, 19.5)
"""Seconds into examples/ai-trends.yaml at which something starts."""

SECONDS, RATE, WIDTH = 3.6, 10, 230


def main() -> None:
    """Write the picture."""
    inputs: list[str] = []
    for moment in MOMENTS:
        inputs += ["-ss", str(moment), "-t", str(SECONDS), "-i", sys.argv[1]]
    small = "".join(
        f"[{n}:v]fps={RATE},scale={WIDTH}:-2:flags=lanczos,pad=iw+12:ih+12:6:6:0x14141C[v{n}];"
        for n in range(len(MOMENTS))
    )
    row = "".join(f"[v{n}]" for n in range(len(MOMENTS))) + f"hstack={len(MOMENTS)}"
    encoding = ["-c:v", "libwebp", "-quality", "62", "-compression_level", "6", "-loop", "0", "-an"]
    find().run(["-y", *inputs, "-filter_complex", small + row, *encoding, str(Path("docs/demo.webp"))])


if __name__ == "__main__":
    main()
