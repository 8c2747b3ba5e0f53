"""TIFFs of which some tiles cannot be read."""

import tifffile

TILE = 64


def write_damaged(path, pixels, tiles):
    """Write a tiled TIFF and overwrite the bytes of some of its tiles."""
    tifffile.imwrite(path, pixels, tile=(TILE, TILE), compression="zlib", photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        places = [(page.dataoffsets[tile], page.databytecounts[tile]) for tile in tiles]
    content = bytearray(path.read_bytes())
    for offset, count in places:
        content[offset : offset + count] = b"\xff" * count
    path.write_bytes(content)
