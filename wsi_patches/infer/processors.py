"""Processors that several slides share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["shared_processors"]


@contextmanager
def shared_processors(slides: int) -> Iterator[None]:
    """Give PyTorch a share of its threads for each of the slides that are counted at a time.

    Threads of one slide's network that wait for those of another's spin and cost a sixth of the speed on two cores.

    Parameters
    ----------
    slides
        How many are counted in this process at a time, 1 or more.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // slides))
    try:
        yield
    finally:
        torch.set_num_threads(before)
