"""Pure media: ffmpeg, probing, the time line, captions, loudness, composition. No Dagster and no network in here."""
