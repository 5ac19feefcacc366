"""Use cases in plain Python: what the command line and Dagster call."""
