"""What a training leaves, and whether two are alike to the bit."""

import torch


def checkpoint(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def assert_same_bits(one, two):
    """Compare nested values, tensors to the bit; how long an epoch took is no matter."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one.keys() - {"seconds"}:
            assert_same_bits(one[name], two[name])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two)
        for first, second in zip(one, two, strict=True):
            assert_same_bits(first, second)
    else:
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two
