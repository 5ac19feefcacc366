"""``python -m image_assets`` is the command line."""

from image_assets.cli import main

main(prog_name="image-assets")
