"""Preprocessing of a whole Hugging Face dataset into Parquet parts: streamed, resumable, in bounded memory."""
