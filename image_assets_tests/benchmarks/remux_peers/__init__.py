"""What the Hugging Face forum recommends for a remux, as scripts for an environment of their own."""
