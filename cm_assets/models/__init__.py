"""What flows between the stages: frozen models and the protocols of the engines. No I/O and no Dagster in here."""
