"""What all tests share: where the real data lies, and seeds."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.s3_server import s3_bucket, s3_proxy, s3_server

__all__ = ["s3_bucket", "s3_proxy", "s3_server"]

# A busy machine must not fail a test: no test of ours has a stop-watch in it.
# In CI the examples are the same every time, so that a change fails by what it changed; by hand they are new ones.
settings.register_profile("wsi-patches", deadline=None, max_examples=50, derandomize="CI" in os.environ)
settings.load_profile("wsi-patches")

# One thread of torch's for each of several test processes, and for the programs that they start: threads of two
# processes on the same cores wait for each other many times longer than they compute.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real slides and smears; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("WSI_PATCHES_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real images, absent at {folder} (set WSI_PATCHES_SHARED to the folder above them)")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20231)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread of torch's: many test processes share the machine, and its threads would wait for each other."""
    import torch  # most tests need none

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shared_files(folder: str, not_named: tuple[str, ...] = ()) -> list[str]:
    """Return the real files below a folder, relative to the real data; none where that is absent."""
    data = Path(os.environ.get("WSI_PATCHES_SHARED", ROOT.parent / "shared")) / "data"
    files = (file for file in sorted((data / folder).rglob("*")) if file.is_file() and file.name not in not_named)
    return [file.relative_to(data).as_posix() for file in files]
