"""Data loaders that skip the first batches of an epoch."""

import pytest
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from rotated_atss.detection.engine.epoch_loop import ResumableBatchSampler, skip_batches
from rotated_atss.detection.engine.random_numbers import seed_samples


class Shapes:
    """A dataset of upright and wide images that counts what is loaded."""

    metainfo = dict(classes=("ship",))  # noqa: RUF012
    loaded = 0

    def __len__(self):
        return 11

    def get_data_info(self, index):
        return dict(width=1 + index % 3, height=2)

    def __getitem__(self, index):
        type(self).loaded += 1
        return index


@pytest.fixture
def build(monkeypatch):
    """``build(batch_sampler=None) -> DataLoader`` of :class:`Shapes` with batches of two."""
    monkeypatch.setitem(DATASETS._module_dict, "Shapes", Shapes)

    def call(batch_sampler=None):
        loader = dict(dataset=dict(type="Shapes"), sampler=dict(type="DefaultSampler"), batch_size=2)
        if batch_sampler is not None:
            loader["batch_sampler"] = dict(type=batch_sampler)
        return Runner.build_dataloader(seed_samples(dict(loader, collate_fn=dict(type=list)), 3), seed=3)

    return call


@pytest.mark.parametrize("batch_sampler", [None, "AspectRatioBatchSampler"])
@pytest.mark.parametrize("number", [0, 1, 4, 6])
def test_skipped_batches_are_not_loaded(build, batch_sampler, number):
    import mmdet.datasets.samplers  # noqa: F401  (registers the sampler)

    whole, rest = build(batch_sampler), build(batch_sampler)
    for epoch in (0, 1):
        for loader in (whole, rest):
            loader_sampler = loader.sampler if batch_sampler is None else loader.batch_sampler.sampler
            loader_sampler.set_epoch(epoch)
        expected = list(whole)
        Shapes.loaded = 0
        assert list(skip_batches(rest, number)) == expected[number:]
        assert Shapes.loaded == sum(map(len, expected[number:]))
        assert list(rest) == expected or batch_sampler is None  # only the next iteration skips
    assert isinstance(rest.batch_sampler, ResumableBatchSampler) == (batch_sampler is not None)
    assert len(rest) == 6


def test_seeds_follow_the_position_in_the_epoch(build):
    def seeds(loader, number):
        loader.sampler.set_epoch(2)
        loader = skip_batches(loader, number)
        return [(int(index), index.seed) for index in loader.sampler]

    assert seeds(build(), 2) == seeds(build(), 0)[4:]


def test_loaders_that_cannot_skip_load_the_batches():
    loader = DataLoader(range(7), batch_size=2)
    assert [batch.tolist() for batch in skip_batches(loader, 2)] == [[4, 5], [6]]
