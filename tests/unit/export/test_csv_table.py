"""Pictures and a table."""

import csv

import numpy as np
from PIL import Image

from wsi_patches.export.csv_table import export_csv


def test_the_table_has_all_that_is_known_of_each_picture(make_job, patches):
    job = make_job("webp")
    export_csv(job)
    with (job.out / "patches.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(patches)
    pixels = patches.read(np.arange(len(patches)))
    for row, line in enumerate(rows):
        with Image.open(job.out / line.pop("file")) as picture:
            assert np.array_equal(picture, pixels[row])
        expected = {name: "" if value is None else str(value) for name, value in patches.columns(row).items()}
        assert line == expected
    assert [line["slide"] for line in rows[::6]] == ["a.b", "c", "d~2"]
    assert (rows[0]["x"], rows[0]["y"], rows[0]["width"], rows[0]["label"], rows[0]["count_blast"]) == (
        "0",
        "0",
        "64",
        "blast",
        "1",
    )
