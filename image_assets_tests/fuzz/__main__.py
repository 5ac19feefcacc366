"""``python -m image_assets_tests.fuzz`` breaks files and decodes them, see :mod:`image_assets_tests.fuzz.fuzzing`."""

import sys

# Workers import what they run by its name, which `__main__` is not.
from image_assets_tests.fuzz.fuzzing import main

sys.exit(main())
