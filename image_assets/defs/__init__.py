"""Everything Dagster knows: thin assets, checks, sensors around the pipeline."""
