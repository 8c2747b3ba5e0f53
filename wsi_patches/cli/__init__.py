"""The command line: it parses, calls one workflow, prints, and sets the exit code."""

from wsi_patches.cli.main import main

__all__ = ["main"]
