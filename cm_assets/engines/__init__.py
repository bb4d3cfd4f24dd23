"""The outside world behind four small protocols: plain classes without Dagster."""
