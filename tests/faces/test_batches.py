"""ResidentBatches against a plain loop, and its promise: an epoch depends on (seed, epoch) alone."""

import numpy as np
import pytest
import torch

from labkit.errors import LabkitError
from labkit.faces import ResidentBatches

COUNT = 23
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (COUNT, 3, 4, 6), dtype=np.uint8)
LABELS = np.arange(COUNT)


def items(batches):
    return torch.cat([batch[0] if isinstance(batch, tuple) else batch for batch in batches])


@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
def test_an_epoch_is_every_image_once(batch_size):
    batches = ResidentBatches(IMAGES, batch_size=batch_size, labels=LABELS)
    drawn = list(batches.epoch(0))
    assert len(drawn) == len(batches) == -(-COUNT // batch_size)
    assert [len(x) for x, _ in drawn[:-1]] == [batch_size] * (len(drawn) - 1)
    numbers = torch.cat([y for _, y in drawn])
    assert sorted(numbers.tolist()) == LABELS.tolist()
    expected = torch.from_numpy(IMAGES)[numbers].float() / 255
    assert torch.equal(items(drawn), expected)


def test_drop_last_drops_only_the_rest():
    batches = ResidentBatches(IMAGES, batch_size=4, drop_last=True)
    assert [len(x) for x in batches.epoch(0)] == [4] * 5 and len(batches) == 5
    whole = ResidentBatches(IMAGES[:20], batch_size=4, drop_last=True)
    assert len(whole) == 5


def test_an_epoch_does_not_depend_on_what_was_drawn_before():
    def make():
        return ResidentBatches(IMAGES, batch_size=5, seed=3, flip=True)

    used = make()
    for epoch in (0, 1, 2):
        list(used.epoch(epoch))
    next(iter(used.epoch(4)))
    torch.manual_seed(99)
    assert torch.equal(items(used.epoch(3)), items(make().epoch(3)))


def test_two_epochs_at_once_do_not_disturb_each_other():
    batches = ResidentBatches(IMAGES, batch_size=5, seed=3, flip=True)
    pairs = list(zip(batches.epoch(1), batches.epoch(1), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    list(ResidentBatches(IMAGES, batch_size=5, flip=True).epoch(0))
    assert torch.equal(before, torch.random.get_rng_state())


def test_epochs_and_seeds_differ():
    def order(seed, epoch):
        batches = ResidentBatches(IMAGES, batch_size=COUNT, seed=seed, labels=LABELS)
        return tuple(next(batches.epoch(epoch))[1].tolist())

    orders = [order(seed, epoch) for seed in range(4) for epoch in range(4)]
    assert len(set(orders)) == len(orders)


def test_every_place_is_reached_from_everywhere():
    batches = ResidentBatches(np.zeros((5, 1), np.float32), batch_size=5, labels=np.arange(5))
    counts = np.zeros((5, 5))
    for epoch in range(400):
        counts[np.arange(5), next(batches.epoch(epoch))[1].numpy()] += 1
    # Chi-square with 16 degrees of freedom exceeds 52 once in 100,000 fair shuffles.
    assert ((counts - 80) ** 2 / 80).sum() < 52


def test_flips_mirror_whole_images_half_of_the_time():
    batches = ResidentBatches(IMAGES, batch_size=7, labels=LABELS, flip=True)
    plain = torch.from_numpy(IMAGES).float() / 255
    mirrored = 0
    for epoch in range(40):
        for images, numbers in batches.epoch(epoch):
            for image, number in zip(images, numbers):
                straight, flipped = (
                    torch.equal(image, plain[number]),
                    torch.equal(image, plain[number].flip(-1)),
                )
                assert straight != flipped
                mirrored += flipped
    # Binomial(920, ½) is within five standard deviations of 460 but once in a million.
    assert abs(mirrored - 460) < 76


def test_flips_differ_between_batches():
    arrow = np.tile(np.array([0, 255], np.uint8), (200, 1, 1, 1))
    batches = ResidentBatches(arrow, batch_size=10, flip=True)
    patterns = {tuple(images[:, 0, 0, 0].tolist()) for images in batches.epoch(0)}
    assert len(patterns) > 15


def test_flips_change_with_the_epoch():
    batches = ResidentBatches(IMAGES, batch_size=COUNT, labels=LABELS, flip=True)

    def by_number(epoch):
        images, numbers = next(batches.epoch(epoch))
        return images[numbers.argsort()]

    assert not torch.equal(by_number(0), by_number(1))


def test_symmetric_range():
    images = np.array([0, 255, 51, 204], np.uint8).reshape(4, 1, 1, 1)
    batches = ResidentBatches(images, batch_size=4, normalise="symmetric")
    values = sorted(next(batches.epoch(0)).flatten().tolist())
    assert values == pytest.approx([-1.0, -0.6, 0.6, 1.0]) and values[0] == -1.0 and values[-1] == 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_floats_pass_unchanged(dtype):
    codes = torch.randn(COUNT, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    batches = ResidentBatches(codes, batch_size=6, labels=torch.arange(COUNT))
    for x, y in batches.epoch(0):
        assert x.dtype == dtype and torch.equal(x, codes[y])


def test_batches_are_copies():
    codes = torch.ones(COUNT, 8)
    for x in ResidentBatches(codes, batch_size=COUNT).epoch(0):
        x.mul_(5)
    assert torch.equal(codes, torch.ones(COUNT, 8))


def test_labels_keep_their_type_and_shape():
    attributes = GENERATOR.random((COUNT, 3)) < 0.5
    _, y = next(ResidentBatches(IMAGES, batch_size=4, labels=attributes).epoch(0))
    assert y.dtype == torch.bool and y.shape == (4, 3)


@pytest.mark.parametrize("view", [slice(None), slice(None, None, -1)])
def test_memory_maps_and_strided_arrays(tmp_path, recwarn, view):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    expected = items(ResidentBatches(IMAGES[:, view].copy(), batch_size=4).epoch(0))
    assert torch.equal(items(ResidentBatches(mapped[:, view], batch_size=4).epoch(0)), expected)
    assert not recwarn.list


def test_attributes_of_the_contract():
    batches = ResidentBatches(IMAGES, batch_size=4, device="cpu")
    assert (batches.count, batches.batch_size, batches.device) == (COUNT, 4, torch.device("cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_epoch_on_the_gpu_never_waits():
    batches = ResidentBatches(IMAGES, batch_size=4, device="cuda", labels=LABELS, flip=True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        drawn = list(batches.epoch(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    numbers = torch.cat([y for _, y in drawn]).cpu()
    assert sorted(numbers.tolist()) == LABELS.tolist()
    assert items(drawn).is_cuda


@pytest.mark.parametrize(
    "data, options, match",
    [
        (IMAGES[:0], {"batch_size": 4}, "empty"),
        (IMAGES[:, 0], {"batch_size": 4}, "uint8"),
        (IMAGES.astype(np.int64), {"batch_size": 4}, "int64"),
        (IMAGES, {"batch_size": 0}, "batch_size 0"),
        (IMAGES, {"batch_size": 24, "drop_last": True}, "batch_size 24"),
        (IMAGES, {"batch_size": 4, "labels": LABELS[1:]}, "22 labels"),
        (IMAGES, {"batch_size": 4, "normalise": "standard"}, "standard"),
        (IMAGES, {"batch_size": 4, "seed": -1}, "seed"),
        (np.zeros((9, 4), np.float32), {"batch_size": 4, "normalise": "symmetric"}, "symmetric"),
        (np.zeros((9, 4), np.float32), {"batch_size": 4, "flip": True}, "flipped"),
    ],
)
def test_bad_input(data, options, match):
    with pytest.raises(LabkitError, match=match):
        ResidentBatches(data, **options)
