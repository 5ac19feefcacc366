"""``python -m image_assets_tests.soak backfill|uploads``: a deployment of three servers, killed at random times.

See ``data/BACKFILLS.md``. Exit code 0: every claim holds.
"""

import sys

from image_assets_tests.soak.backfill import soak_backfill
from image_assets_tests.soak.options import parse_options
from image_assets_tests.soak.uploads import soak_uploads

SOAKS = {"backfill": soak_backfill, "uploads": soak_uploads}


def main() -> int:
    """Run one soak."""
    options = parse_options(sys.argv[1:])
    try:
        return 0 if SOAKS[options.what](options) else 1
    except KeyboardInterrupt:
        print("interrupted; what was started is stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
