"""What benchmarks/extract.py compares: each function does one case in this process and returns its figures."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIDE = 256


def places(width: int, height: int, asked: dict[str, Any]) -> list[tuple[int, int]]:
    """Return the top left corners of all whole patches, row by row, or the first of them."""
    stride = asked["stride"]
    xy = [(x, y) for y in range(0, height - SIDE + 1, stride) for x in range(0, width - SIDE + 1, stride)]
    return xy[: asked["limit"] or None]


def plain(asked: dict[str, Any]) -> Iterator[int]:
    """Read with openslide-python and write with zarr-python's defaults."""
    import numpy as np
    import openslide
    import zarr

    yield 0
    slide = openslide.OpenSlide(asked["slide"])
    xy = places(*slide.dimensions, asked)
    shape = (len(xy), SIDE, SIDE, 3)
    store = zarr.create_array(asked["out"], shape=shape, dtype="uint8", chunks=(1, SIDE, SIDE, 3))
    for row, place in enumerate(xy):
        store[row] = np.asarray(slide.read_region(place, 0, (SIDE, SIDE)).convert("RGB"))
    yield len(xy)


def ours(asked: dict[str, Any]) -> Iterator[int]:
    """Extract with this program, everything that the command does after its start."""
    from wsi_patches.workflows.extract import ExtractSettings, extract

    settings = ExtractSettings(
        (Path(asked["slide"]),),
        Path(asked["out"]),
        stride=asked["stride"],
        edge="drop",
        codec=asked["codec"],
        workers=asked["workers"],
        fsync=asked["fsync"],
    )
    yield 0
    yield extract(settings).patches


def read_openslide(asked: dict[str, Any]) -> Iterator[int]:
    """Read only, into contiguous RGB."""
    import numpy as np
    import openslide

    yield 0
    slide = openslide.OpenSlide(asked["slide"])
    xy = places(*slide.dimensions, asked)
    for place in xy:
        np.ascontiguousarray(np.asarray(slide.read_region(place, 0, (SIDE, SIDE)))[..., :3])
    yield len(xy)


def read_ours(asked: dict[str, Any]) -> Iterator[int]:
    """Read only, into contiguous RGB."""
    from wsi_patches import open_slide
    from wsi_patches.geometry import Box

    yield 0
    with open_slide(asked["slide"]) as slide:
        xy = places(*slide.info.size, asked)
        for x, y in xy:
            slide.read(Box(x, y, SIDE, SIDE))
    yield len(xy)


def read_cucim(asked: dict[str, Any]) -> Iterator[int]:
    """Read only, with cuCIM on the CPU."""
    import numpy as np
    from cucim import CuImage

    yield 0
    slide = CuImage(asked["slide"])
    width, height = slide.size("XY")
    xy = places(width, height, asked)
    for place in xy:
        np.asarray(slide.read_region(place, (SIDE, SIDE), level=0))
    yield len(xy)


def read_tiatoolbox(asked: dict[str, Any]) -> Iterator[int]:
    """Read only, with tiatoolbox."""
    from tiatoolbox.wsicore.wsireader import WSIReader

    yield 0
    slide = WSIReader.open(asked["slide"])
    xy = places(*slide.info.slide_dimensions, asked)
    for place in xy:
        slide.read_rect(place, (SIDE, SIDE), resolution=0, units="level")
    yield len(xy)


CASES: dict[str, Callable[[dict[str, Any]], Iterator[int]]] = {
    one.__name__: one for one in (plain, ours, read_openslide, read_ours, read_cucim, read_tiatoolbox)
}


def main() -> None:
    """Time one case from after its imports to its end."""
    work = CASES[sys.argv[1]](json.loads(sys.argv[2]))
    next(work)
    wall, cpu = time.perf_counter(), time.process_time()
    patches = next(work)
    print(json.dumps({"patches": patches, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
