"""The same job done by image_assets and its peers, side by side: ``python -m image_assets_tests.benchmarks.peers``."""
