"""Writes TIFFs as scanners do and tifffile alone does not: shared JPEG tables, padded levels, tiles left out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

JPEG_TABLES = 347
TABLE_MARKERS = (0xC4, 0xDB)


def smooth_noise(height: int, width: int, seed: int = 1) -> np.ndarray:
    """Return RGB in which every pixel, and every colour, differs from its neighbours by some."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


def tiles_of(pixels: np.ndarray, height: int, width: int) -> Iterator[np.ndarray]:
    """Yield whole tiles row by row; those at the border repeat their last pixels."""
    for y in range(0, pixels.shape[0], height):
        for x in range(0, pixels.shape[1], width):
            tile = pixels[y : y + height, x : x + width]
            rest = ((0, height - tile.shape[0]), (0, width - tile.shape[1]), *[(0, 0)] * (pixels.ndim - 2))
            yield np.ascontiguousarray(np.pad(tile, rest, mode="edge"))


def jpeg(tile: np.ndarray, stored: str = "ycbcr", subsampling: tuple[int, int] = (2, 2), level: int = 80) -> bytes:
    """Return a tile as a JPEG whose samples are grey, RGB or YCbCr."""
    if stored == "grey":
        return imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=level)
    ratio = subsampling if stored == "ycbcr" else None
    return imagecodecs.jpeg8_encode(
        tile, level=level, colorspace="RGB", outcolorspace=stored.upper(), subsampling=ratio
    )


def without_tables(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG's tables as a stream of their own, and the JPEG without them."""
    tables, rest, at = b"", b"\xff\xd8", 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] in TABLE_MARKERS:
            tables += data[at:end]
        else:
            rest += data[at:end]
        at = end
    return b"\xff\xd8" + tables + b"\xff\xd9", rest + data[at:]


def write_jpeg_tiff(
    path: Path,
    pixels: np.ndarray,
    tile: tuple[int, int] = (48, 64),
    stored: str = "ycbcr",
    subsampling: tuple[int, int] = (2, 2),
    *,
    shared_tables: bool = False,
    left_out: Sequence[int] = (),
    **options: object,
) -> None:
    """Write a tiled JPEG TIFF of one level; tiles with a number in ``left_out`` have no bytes."""
    encoded = [jpeg(each, stored, subsampling) for each in tiles_of(pixels, *tile)]
    tags = []
    if shared_tables:
        tables = without_tables(encoded[0])[0]
        encoded = [without_tables(each)[1] for each in encoded]
        tags = [(JPEG_TABLES, 7, len(tables), tables, True)]
    kind = {
        "ycbcr": {"photometric": "rgb", "subsampling": subsampling},
        "rgb": {"photometric": "rgb", "compressionargs": {"outcolorspace": "rgb"}},
        "grey": {"photometric": "minisblack"},
    }[stored]
    data = (b"" if number in left_out else each for number, each in enumerate(encoded))
    options = {"metadata": None, **options}
    shape = {"shape": pixels.shape, "dtype": np.uint8}
    tifffile.imwrite(path, data, tile=tile, compression="jpeg", extratags=tags, **shape, **kind, **options)


def philips_xml(downsamples: Sequence[int], mpp: float = 0.25) -> str:
    """Return the XML of a Philips TIFF: the pixel spacing of each level, and the objective."""
    levels = "".join(
        '<DataObject ObjectType="PixelDataRepresentation"><Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" '
        f'Element="0x0030" PMSVR="IDoubleArray">&quot;{mpp * by / 1000}&quot; &quot;{mpp * by / 1000}&quot;</Attribute>'
        "</DataObject>"
        for by in downsamples
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE" PMSVR="IString">WSI</Attribute>'
        f'<Attribute Name="DICOM_PIXEL_SPACING">&quot;{mpp / 1000}&quot; &quot;{mpp / 1000}&quot;</Attribute>'
        '<Attribute Name="DICOM_DERIVATION_DESCRIPTION">tiff-levels=40,10003,10000-compressor=16</Attribute>'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{levels}</Array></Attribute>'
        "</DataObject></Array></Attribute></DataObject>"
    )


def write_philips(path: Path, pixels: np.ndarray, left_out: Sequence[int] = (), tile: int = 64) -> None:
    """Write three levels, each padded to whole tiles before it is halved; tiles of level 0 may be left out."""
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level in range(3):
            padded = np.pad(pixels, ((0, -pixels.shape[0] % tile), (0, -pixels.shape[1] % tile), (0, 0)), mode="edge")
            encoded = [jpeg(each) for each in tiles_of(padded, tile, tile)]
            file.write(
                (b"" if level == 0 and number in left_out else each for number, each in enumerate(encoded)),
                shape=padded.shape,
                dtype=np.uint8,
                tile=(tile, tile),
                compression="jpeg",
                photometric="rgb",
                subsampling=(2, 2),
                subfiletype=min(level, 1),
                description=philips_xml([1, 2, 4]) if level == 0 else f"level={level}",
                software="Philips DP v1.0" if level == 0 else False,
                metadata=None,
            )
            pixels = padded[::2, ::2]


def write_aperio_jpeg2000(path: Path, pixels: np.ndarray, *, ycbcr: bool, tile: tuple[int, int] = (48, 64)) -> None:
    """Write an SVS of lossless JPEG 2000 tiles; with ``ycbcr`` the samples themselves are Y, Cb and Cr."""
    samples = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]] if ycbcr else pixels
    encoded = (
        imagecodecs.jpeg2k_encode(each, level=0, reversible=True, codecformat="j2k", mct=False)
        for each in tiles_of(samples, *tile)
    )
    tifffile.imwrite(
        path,
        encoded,
        shape=pixels.shape,
        dtype=np.uint8,
        tile=tile,
        compression=33003 if ycbcr else 33005,
        photometric="rgb",
        description="Aperio Image Library v1\nx|AppMag = 40|MPP = 0.25",
        metadata=None,
    )
