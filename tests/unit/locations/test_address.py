"""What a user may write for a path."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from wsi_patches.errors import MissingExtra, UsageError
from wsi_patches.locations import Location, is_remote, path_of
from wsi_patches.recipe import settings_from


@dataclass(frozen=True)
class Asked:
    inputs: tuple[Location, ...]
    out: Location
    table: Location | None = None


def test_local_paths_stay_as_they_are(tmp_path):
    assert path_of("a/b") == Path("a/b")
    assert path_of(tmp_path) is tmp_path
    assert path_of("s3/bucket") == Path("s3/bucket")
    assert path_of("C:/slides") == Path("C:/slides")
    assert not is_remote(path_of("s3/bucket"))


@pytest.mark.parametrize(
    "written", ["s3://bucket/a/b.tif", "S3://bucket/a/b.tif", Path("s3://bucket/a/b.tif"), "s3://bucket/a/b.tif/"]
)
def test_an_address_is_kept_whole(written):
    assert str(path_of(written)) == "s3://bucket/a/b.tif"


@pytest.mark.parametrize(
    "written",
    ["s3://", "s3:///key", "s3://b/a//c", "s3://bucket/../c", "s3://bucket/./c", "gs://bucket/key", "https://host/key"],
)
def test_other_addresses_are_refused(written):
    with pytest.raises(UsageError, match="s3://BUCKET/KEY"):
        path_of(written)


def test_a_secret_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID") as caught:
        path_of("s3://AKIA:hush@bucket/key")
    assert "hush" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_settings_keep_an_address_whole():
    asked = settings_from(Asked, {"inputs": ("a.tif", "s3://bucket/in"), "out": Path("s3://bucket/out.zarr")})
    assert asked == Asked((Path("a.tif"), path_of("s3://bucket/in")), path_of("s3://bucket/out.zarr"))
    with pytest.raises(UsageError, match="refused"):
        settings_from(Asked, {"inputs": ("s3://u:p@bucket/in",), "out": "x"})
    with pytest.raises(UsageError, match="out"):
        settings_from(Asked, {"inputs": ("a.tif",), "out": 3})


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'wsi-patches\[s3\]'"):
        path_of("s3://bucket/key")
    assert path_of("a/b") == Path("a/b")


def test_local_work_loads_no_library_of_object_stores(tmp_path):
    told = (
        "import sys, wsi_patches.workflows.extract; from wsi_patches.stores import *; from wsi_patches.slides import *;"
        "from wsi_patches.locations import *;"
        f"print(is_store(path_of({str(tmp_path)!r})), is_slide_folder(path_of({str(tmp_path)!r})));"
        "print([name for name in ('fsspec', 's3fs', 'botocore') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False False", "[]"]
