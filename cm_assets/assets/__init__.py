"""What exists per video, one thin file an asset."""
