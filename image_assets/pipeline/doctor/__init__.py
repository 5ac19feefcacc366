"""What could keep a dataset from running, looked for before it does: a line for each thing, with what to do."""
