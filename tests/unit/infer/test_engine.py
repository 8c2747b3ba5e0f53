"""The engine: all patches, in order, once, whatever the sizes; and it ends when its caller does."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.infer.conftest import CountedPatches, FakeBackend, readers_alive, said_of
from wsi_patches.errors import ModelError, SlideError, UsageError
from wsi_patches.imaging.focus import fqpath
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively
from wsi_patches.infer.engine import Engine, EngineSettings
from wsi_patches.models.backends import make_backend
from wsi_patches.models.torchvision_networks import resnet18
from wsi_patches.torch_data import ArrayPatches


def all_of(batches):
    """Positions and outputs of all batches."""
    batches = list(batches)
    positions = np.concatenate([np.empty(0, np.int64), *(batch.positions for batch in batches)])
    return positions, np.concatenate([np.empty((0, 2), np.float32), *(batch.outputs for batch in batches)])


@given(
    count=st.integers(0, 90),
    batch_size=st.none() | st.integers(1, 40),
    readers=st.integers(1, 4),
    memory=st.integers(1, 40),
)
def test_every_patch_is_answered_once_and_in_order(count, batch_size, readers, memory):
    images = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    source, backend = CountedPatches(images), FakeBackend(memory)
    engine = Engine(backend, EngineSettings(batch_size=batch_size, readers=readers))

    positions, outputs = all_of(engine.run(source))

    assert positions.tolist() == list(range(count))
    assert sorted(source.reads) == list(range(count))
    np.testing.assert_allclose(outputs, said_of(images), rtol=1e-5)
    assert sum(backend.sizes) == count
    assert max(backend.sizes, default=0) <= memory


def test_positions_can_be_asked_for_in_any_order(images, rng):
    wanted = rng.permutation(len(images))[:77]

    positions, outputs = all_of(Engine(FakeBackend()).run(ArrayPatches(images), wanted))

    assert np.array_equal(positions, wanted)
    np.testing.assert_allclose(outputs, said_of(images[wanted]), rtol=1e-5)


def test_a_source_that_gives_read_only_memory_is_read(images):
    images.flags.writeable = False
    source = ArrayPatches(images)
    object.__setattr__(source, "read", lambda positions: images[positions[0] : positions[-1] + 1])

    _, outputs = all_of(Engine(FakeBackend()).run(source))

    np.testing.assert_allclose(outputs, said_of(images), rtol=1e-5)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_where_memory_is_short_batches_are_halved_and_work_goes_on(images, error):
    source, backend = CountedPatches(images), FakeBackend(memory=5, error=error)
    engine = Engine(backend, EngineSettings(batch_size=32))

    positions, outputs = all_of(engine.run(source))

    np.testing.assert_allclose(outputs, said_of(images), rtol=1e-5)
    assert source.reads == list(range(200))
    assert set(backend.sizes) == {4}
    assert engine.batch_size == 4
    assert positions.tolist() == list(range(200))


def test_memory_too_short_for_one_patch_is_said(images):
    with pytest.raises(ModelError, match="cpu has not the memory to run the network on one patch of 8 px"):
        list(Engine(FakeBackend(memory=0)).run(ArrayPatches(images)))
    assert not readers_alive()


def test_other_errors_of_the_network_are_not_taken_for_short_memory(images):
    backend = FakeBackend(memory=5, error=RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        list(Engine(backend).run(ArrayPatches(images)))
    assert not readers_alive()


def test_what_a_reader_raises_reaches_the_caller_after_what_was_read_before(images):
    class Damaged(ArrayPatches):
        def read(self, positions):
            if 100 in np.asarray(positions):
                msg = "tile 100 is damaged"
                raise SlideError(msg)
            return super().read(positions)

    seen = []
    with pytest.raises(SlideError, match="tile 100 is damaged"):
        seen.extend(batch.positions for batch in Engine(FakeBackend(), EngineSettings(16)).run(Damaged(images)))

    assert np.concatenate(seen).tolist() == list(range(96))
    assert not readers_alive()


def test_patches_are_read_no_further_ahead_than_two_batches(rng):
    source = CountedPatches(rng.integers(0, 256, (1000, 4, 4, 3), dtype=np.uint8))
    backend, answered = FakeBackend(), 0

    for batch in Engine(backend, EngineSettings(batch_size=32, readers=3)).run(source):
        answered += len(batch.positions)
        assert len(source.reads) - answered <= 2 * 32 + 32 + 3 * 16


def test_reading_goes_on_while_the_network_works(images):
    begun = threading.Event()

    class Watched(ArrayPatches):
        def read(self, positions):
            if 32 in np.asarray(positions):
                begun.set()
            return super().read(positions)

    class Slow(FakeBackend):
        def __call__(self, patches):
            assert begun.wait(60), "the next batch was not read while this one was computed"
            return super().__call__(patches)

    list(Engine(Slow(), EngineSettings(batch_size=32)).run(Watched(images)))


def test_a_caller_that_goes_away_ends_the_readers(rng):
    source = CountedPatches(rng.integers(0, 256, (2000, 4, 4, 3), dtype=np.uint8))
    batches = Engine(FakeBackend(), EngineSettings(batch_size=16, readers=2)).run(source)

    next(batches)
    batches.close()

    assert not readers_alive()
    assert len(source.reads) < 200


def test_an_interrupt_ends_the_readers(images):
    class Interrupted(FakeBackend):
        def __call__(self, patches):
            if len(self.sizes) == 2:
                raise KeyboardInterrupt
            return super().__call__(patches)

    with pytest.raises(KeyboardInterrupt):
        list(Engine(Interrupted(), EngineSettings(batch_size=16)).run(ArrayPatches(images)))

    assert not readers_alive()


def test_a_batch_size_that_was_found_is_kept_for_the_next_source(images):
    backend = FakeBackend(memory=9)
    engine = Engine(backend)

    for _ in range(2):
        list(engine.run(ArrayPatches(images)))

    assert engine.batch_size == 8
    assert set(backend.sizes) == {8}


def test_focus_is_that_of_the_patches_and_sharpening_is_what_the_network_sees(rng):
    noise = rng.integers(0, 256, (6, 64, 64, 3)).astype(np.float32)
    kernel = np.ones(5) / 5
    for axis in (1, 2):
        noise = np.apply_along_axis(np.convolve, axis, noise, kernel, "same")
    images = noise.astype(np.uint8)
    scores = fqpath(images, precision="float32")
    settings = SharpenSettings(float(scores.min()) - 0.5)

    (scored,) = Engine(FakeBackend(), EngineSettings(focus=True)).run(ArrayPatches(images))
    (sharpened,) = Engine(FakeBackend(), EngineSettings(focus=True, sharpen=settings)).run(ArrayPatches(images))
    (plain,) = Engine(FakeBackend()).run(ArrayPatches(images))

    assert plain.focus is None
    np.testing.assert_allclose(scored.focus, scores)
    np.testing.assert_allclose(sharpened.focus, scores)
    np.testing.assert_allclose(scored.outputs, said_of(images), rtol=1e-5)
    expected = said_of(sharpen_adaptively(images, settings).images)
    np.testing.assert_allclose(sharpened.outputs, expected, rtol=1e-5)
    assert not np.allclose(sharpened.outputs, scored.outputs)


@pytest.mark.gpu
def test_a_gpu_answers_in_order_what_the_processor_answers(rng):
    images = rng.integers(0, 256, (700, 64, 64, 3), dtype=np.uint8)
    frame = SimpleNamespace(input_px=64, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    network = resnet18(2).eval()
    cpu, gpu = (
        Engine(make_backend(network, frame, device, "fp32"), EngineSettings(focus=True)) for device in ("cpu", "cuda")
    )

    here, there = (list(engine.run(ArrayPatches(images))) for engine in (cpu, gpu))

    expected, answered = all_of(here), all_of(there)
    assert np.array_equal(answered[0], expected[0])
    np.testing.assert_allclose(answered[1], expected[1], atol=0.01 * np.abs(expected[1]).max())
    focus = [np.concatenate([batch.focus for batch in batches]) for batches in (here, there)]
    np.testing.assert_allclose(*focus, atol=0.02)


@pytest.mark.parametrize("name", ["batch_size", "readers"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(UsageError, match=f"{name} of the engine must be 1 or more, got 0"):
        EngineSettings(**{name: 0})


def test_patches_of_another_kind_are_refused(rng):
    with pytest.raises(UsageError, match="patches must be uint8"):
        list(Engine(FakeBackend()).run(ArrayPatches(rng.random((3, 8, 8, 3)))))
