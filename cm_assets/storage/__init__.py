"""Where things are kept: artifacts and the intent database."""
