"""JPEG 2000 codestreams: a missing part is found by their own lengths."""

import imagecodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.painted_tiffs import smooth_noise
from wsi_patches.slides.jpeg2000 import check_jpeg2000, is_subsampled

STREAM, FILE = (
    imagecodecs.jpeg2k_encode(smooth_noise(64, 64), level=0, reversible=True, codecformat=kind)
    for kind in ("j2k", "jp2")
)


@pytest.mark.parametrize("data", [STREAM, FILE, STREAM + bytes(5)])
def test_whole_streams_pass(data):
    check_jpeg2000(data)


@given(st.integers(0, len(STREAM) - 3))
def test_a_stream_that_is_cut_is_refused(length):
    for data in (STREAM[:length], STREAM[:length] + bytes(len(STREAM) - length)):
        with pytest.raises(ValueError, match="JPEG 2000"):
            check_jpeg2000(data)


def test_components_of_half_the_size_are_seen():
    assert not is_subsampled(STREAM)
    half = bytearray(STREAM)
    half[46:48] = b"\x02\x02"  # the second component's steps in x and y
    assert is_subsampled(bytes(half))
    assert not is_subsampled(b"")
