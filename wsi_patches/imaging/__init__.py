"""What is done to pixels: finding nuclei, illumination, size distributions."""

from wsi_patches.imaging.nuclei import FinderCalibration, FoundCells, WhiteCellFinder

__all__ = ["FinderCalibration", "FoundCells", "WhiteCellFinder"]
