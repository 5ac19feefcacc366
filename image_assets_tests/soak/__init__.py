"""Long runs under kills, by hand: ``python -m image_assets_tests.soak backfill`` and ``... uploads``."""
