"""The dataset report: one page of HTML that needs nothing else."""
