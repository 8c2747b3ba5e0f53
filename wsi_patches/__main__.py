"""``python -m wsi_patches``."""

from wsi_patches.cli import main

if __name__ == "__main__":
    main()
