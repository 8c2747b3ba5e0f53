"""Threads are shared while several slides are counted, and given back."""

import pytest
import torch

from wsi_patches.infer.processors import shared_processors


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("slides", "threads"), [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_each_slide_gets_its_share(slides, threads):
    with shared_processors(slides):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 4


def fails():
    with shared_processors(2):
        raise KeyError


@pytest.mark.usefixtures("four_threads")
def test_they_are_given_back_after_a_failure():
    with pytest.raises(KeyError):
        fails()
    assert torch.get_num_threads() == 4
