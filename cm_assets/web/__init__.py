"""The HTTP API and the review board: what `cm` does, for programs and browsers."""
