"""Writes OME-Zarrs of both Zarr versions, as others and no writer do."""

import json

import numpy as np
import zarr

from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide

HEIGHT, WIDTH = 90, 130
RGB_CHANNELS = [{"label": f"Channel {i}", "color": code} for i, code in enumerate(("FF0000", "00FF00", "0000FF"))]
DYES = [{"label": name, "color": "FFFFFF"} for name in ("DAPI", "FITC", "Cy5", "TRITC")]


def truth(channels=3, dtype=np.uint8):
    highest = np.iinfo(dtype).max
    return np.random.default_rng(3).integers(0, highest, (channels, HEIGHT, WIDTH), dtype, endpoint=True)


def write(path, planes, axes="cyx", version=2, channels=RGB_CHANNELS, unit="micrometer", scale=0.25, **options):
    """Write planes ``(c, y, x)`` and the same at half the size as an OME-Zarr of given axes."""
    path.mkdir(parents=True, exist_ok=True)
    datasets = []
    for level, step in enumerate((1, 2)):
        shrunk = planes[:, ::step, ::step]
        full = {"c": shrunk.shape[0], "y": shrunk.shape[1], "x": shrunk.shape[2], "t": 1, "z": 1}
        moved = shrunk.transpose([*([] if "c" in axes else [0]), *map("cyx".index, kept(axes))])
        pixels = moved.reshape([full[axis] for axis in axes])
        settings = {"chunks": [1 if axis in "tcz" else 32 for axis in axes], "zarr_format": version, **options}
        array = zarr.create_array(path / str(level), shape=pixels.shape, dtype=pixels.dtype, **settings)
        array[...] = pixels
        factors = [scale * step if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": factors}]})
    listed = [{"name": axis, **({"unit": unit} if unit and axis in "yx" else {})} for axis in axes]
    attributes = {"multiscales": [{"axes": listed, "datasets": datasets}], "omero": {"channels": channels}}
    write_attributes(path, attributes, version)
    return path


def kept(axes):
    return [axis for axis in axes if axis in "cyx"]


def write_attributes(path, attributes, version=2):
    if version == 3:
        node = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **attributes}}}
        (path / "zarr.json").write_text(json.dumps(node))
        return
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))


def read_all(path, level=0, **options):
    with open_slide(path, **options) as slide:
        return slide.read(Box(0, 0, *slide.info.size), level)


def bioformats2raw(path, series=("0", "1"), xml=None, **options):
    write(path / "0", truth()[:, :40, :50])
    write(path / "1", truth(), **options)
    write_attributes(path, {"bioformats2raw.layout": 3})
    (path / "OME").mkdir()
    write_attributes(path / "OME", {"series": list(series)})
    if xml is not None:
        (path / "OME" / "METADATA.ome.xml").write_text(xml)
    return path
