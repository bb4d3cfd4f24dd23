"""What may happen to a video: pure rules over storage, without Dagster."""
