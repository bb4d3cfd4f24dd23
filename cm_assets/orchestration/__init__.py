"""Jobs, the engine that runs them, and what belongs to running: no asset lives here."""
