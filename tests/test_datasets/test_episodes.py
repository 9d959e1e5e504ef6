import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.runner import Runner

from mmfss.datasets import EpisodicDataset, PASCAL5iDataset
from mmfss.datasets.episodes import checksum, choose, draw_supports
from tests.conftest import pipeline

DATA = Path(__file__).parents[1] / 'data'


@pytest.fixture
def no_files(monkeypatch, tmp_path):
    """The lists alone, without their photos."""
    monkeypatch.setattr(EpisodicDataset, '_check_files', lambda self: None)
    return str(tmp_path)


@pytest.mark.parametrize('shot', [1, 5])
@pytest.mark.parametrize('fold', range(4))
def test_published_test_list(fold, shot, no_files):
    expected = json.loads((DATA / 'episodes_sha256.json').read_text())
    dataset = PASCAL5iDataset(
        fold=fold, shot=shot, data_root=no_files, test_mode=True)
    assert len(dataset) == 1000
    name = f'pascal_fold{fold}_{shot}shot'
    assert checksum(dataset.episode_lists[0]) == expected[name]


def test_published_test_list_whole(no_files):
    with gzip.open(DATA / 'episodes_pascal_fold0_1shot.json.gz') as file:
        expected = json.load(file)
    dataset = PASCAL5iDataset(data_root=no_files, test_mode=True)
    assert [e.to_list() for e in dataset.episode_lists[0]] == expected


def test_training_pool(no_files):
    dataset = PASCAL5iDataset(fold=1, data_root=no_files)
    assert len(dataset) == 2286 + 5883 + 2086
    assert dataset.metainfo['class_ids'] == [
        c for c in range(20) if c not in range(5, 10)
    ]
    epoch = [dataset.get_episode((0, n)) for n in range(len(dataset))]
    drawn = sorted((e.query, e.class_id) for e in epoch)
    assert drawn == sorted((e['name'], e['class_id']) for e in dataset.data_list)
    in_class = {(e['name'], e['class_id']) for e in dataset.data_list}
    assert all((s, e.class_id) in in_class and s != e.query
               for e in epoch for s in e.supports)


def test_training_draw_is_a_pure_function(no_files):
    one = PASCAL5iDataset(data_root=no_files, seed=3)
    other = PASCAL5iDataset(data_root=no_files, seed=3)
    forward = [one.get_episode((2, n)) for n in range(50)]
    np.random.seed(1)  # the global state plays no part
    backward = [other.get_episode((2, n)) for n in reversed(range(50))]
    assert forward == backward[::-1]
    assert forward != [one.get_episode((3, n)) for n in range(50)]
    reseeded = PASCAL5iDataset(data_root=no_files, seed=4)
    assert forward != [reseeded.get_episode((2, n)) for n in range(50)]


def test_longer_epoch_takes_every_entry_again(no_files):
    dataset = PASCAL5iDataset(data_root=no_files)
    size = len(dataset)
    dataset = PASCAL5iDataset(data_root=no_files, num_episodes=2 * size)
    queries = [dataset.get_episode((0, n)).query for n in range(2 * size)]
    assert sorted(queries[:size]) == sorted(queries[size:])
    assert queries[:size] != queries[size:]


def test_plain_index_in_training_is_refused(no_files):
    with pytest.raises(TypeError, match='EpisodeSampler'):
        PASCAL5iDataset(data_root=no_files)[0]


@pytest.mark.parametrize('workers', [0, 2])
def test_workers_see_the_epoch(workers, tiny_voc):
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=workers,
            persistent_workers=workers > 0,
            sampler=dict(type='EpisodeSampler'),
            dataset=dict(
                type='PASCAL5iDataset',
                data_root=str(tiny_voc),
                split_dir=str(tiny_voc / 'splits'),
                pipeline=pipeline(32))),
        seed=0)

    def epoch(number):
        loader.sampler.set_epoch(number)
        return [(s.query, s.supports) for batch in loader
                for s in batch['data_samples']]

    for number in range(2):
        expected = [
            loader.dataset.get_episode((number, n)) for n in range(45)
        ]
        assert epoch(number) == [(e.query, list(e.supports)) for e in expected]
    assert epoch(0) != epoch(1)


@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_supports_never_contain_the_query(size, shot, seed):
    names = [str(i) for i in range(size)]
    supports = draw_supports(np.random.RandomState(seed), names, '1', shot)
    assert len(supports) == shot
    assert set(supports) <= set(names) - {'1'}


@given(st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_choose_is_numpys_legacy_draw_without_replacement(size, seed):
    items = list(range(size))
    ours, numpys = np.random.RandomState(seed), np.random.RandomState(seed)
    for _ in range(3):
        assert choose(ours, items) == numpys.choice(items, 1, replace=False)[0]
