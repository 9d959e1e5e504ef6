import configparser
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.runner import Runner
from mmseg.datasets import COCOStuffDataset

from mmfss import datasets
from mmfss.datasets import (
    COCO2PASCALDataset,
    COCO20iDataset,
    EpisodicDataset,
    FSS1000Dataset,
    PASCAL5iDataset,
)
from mmfss.datasets.episodes import checksum, choose, draw_supports
from tests.conftest import REPO, pipeline

DATA = Path(__file__).parents[1] / 'data'


@pytest.fixture
def no_files(monkeypatch, tmp_path):
    """The lists alone, without their photos."""
    monkeypatch.setattr(EpisodicDataset, 'check_files', lambda self: None)
    return str(tmp_path)


PUBLISHED = {
    **{f'pascal_fold{f}': (PASCAL5iDataset, dict(fold=f)) for f in range(4)},
    **{f'coco_fold{f}': (COCO20iDataset, dict(fold=f)) for f in range(4)},
    'fss': (FSS1000Dataset, dict()),
}


def published_test_list(name, shot, data_root):
    cls, kwargs = PUBLISHED[name]
    return cls(shot=shot, data_root=data_root, test_mode=True, **kwargs)


@pytest.mark.parametrize('shot', [1, 5])
@pytest.mark.parametrize('name', PUBLISHED)
def test_published_test_list(name, shot, no_files):
    sums = Path(datasets.__file__).parent / 'splits' / 'episodes_sha256.json'
    expected = json.loads(sums.read_text())
    dataset = published_test_list(name, shot, no_files)
    assert len(dataset) == (2400 if name == 'fss' else 1000)
    assert checksum(dataset.episode_lists[0]) == expected[f'{name}_{shot}shot']


@pytest.mark.parametrize('name, shot', [('pascal_fold0', 1), ('coco_fold1', 5),
                                        ('fss', 5)])
def test_published_test_list_whole(name, shot, no_files):
    with gzip.open(DATA / f'episodes_{name}_{shot}shot.json.gz') as file:
        expected = json.load(file)
    dataset = published_test_list(name, shot, no_files)
    assert [e.to_list() for e in dataset.episode_lists[0]] == expected


def test_lists_are_shipped():
    setup = configparser.ConfigParser()
    setup.read(REPO / 'setup.cfg')
    patterns = setup['options.package_data']['mmfss.datasets'].split()
    folder = Path(datasets.__file__).parent
    shipped = {path for p in patterns for path in folder.glob(p)}
    lists = {p for p in (folder / 'splits').rglob('*') if p.is_file()}
    assert shipped == lists and len(lists) == 8 + 1 + 3 + 1


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


@pytest.mark.parametrize('fold, length', enumerate([62040, 74381, 73035, 73808]))
def test_coco_training_pool(fold, length, no_files):
    dataset = COCO20iDataset(fold=fold, data_root=no_files)
    assert len(dataset) == length
    classes = [c for c in range(80) if c % 4 != fold]
    assert dataset.metainfo['class_ids'] == classes
    shows = {(e['name'], e['class_id']) for e in dataset.data_list}
    drawn = [dataset.get_episode((0, n)) for n in range(300)]
    assert all((name, e.class_id) in shows and name.startswith('train2014/')
               for e in drawn for name in (e.query, *e.supports))
    # of 300 uniform draws of 60 classes, about 5 each (persons: 40,000 images)
    assert len({e.class_id for e in drawn}) > 50
    assert sum(e.class_id == 0 for e in drawn) < 20


def test_coco_classes_are_those_of_the_zoo():
    zoo = COCOStuffDataset.METAINFO['classes'][:80]
    assert COCO20iDataset.METAINFO['classes'] == zoo


@pytest.mark.parametrize('test_mode, split, first, last', [
    (False, None, 0, 519), (True, 'val', 520, 759), (True, None, 760, 999)])
def test_fss_parts(test_mode, split, first, last, no_files):
    dataset = FSS1000Dataset(split, data_root=no_files, test_mode=test_mode)
    assert dataset.metainfo['class_ids'] == list(range(first, last + 1))
    names = dataset.metainfo['classes']
    assert len(set(names)) == 1000
    assert names[first:last + 1] == tuple(sorted(names[first:last + 1]))
    assert len(dataset) == 10 * (last + 1 - first)
    if not test_mode:
        epoch = [dataset.get_episode((0, n)) for n in range(len(dataset))]
        assert len({e.query for e in epoch}) == 5200
        assert all(e.query.rpartition('/')[0] == names[e.class_id]
                   for e in epoch)


@pytest.mark.parametrize('fold', range(4))
def test_domain_shift_list(fold, no_files):
    dataset = COCO2PASCALDataset(
        fold=fold, shot=5, data_root=no_files, test_mode=True)
    # PASCAL's classes that are COCO classes fold, fold + 4, .., by other names
    coco = dict(aeroplane='airplane', diningtable='dining table',
                motorbike='motorcycle', pottedplant='potted plant', sofa='couch',
                tvmonitor='tv')
    order = COCO20iDataset.METAINFO['classes']
    expected = [
        c for c, name in enumerate(PASCAL5iDataset.METAINFO['classes'])
        if order.index(coco.get(name, name)) % 4 == fold
    ]
    assert dataset.metainfo['class_ids'] == expected
    # the draw, written once more with NumPy's own
    pool = []
    for pascal_fold in range(4):
        lines = Path(datasets.__file__).parent.joinpath(
            'splits', 'pascal', 'val', f'fold{pascal_fold}.txt').read_text()
        pool += [(line[:-4], int(line[-2:]) - 1) for line in lines.split()]
    pool = [(name, c) for name, c in pool if c in expected]
    rs = np.random.RandomState(0)
    for number, episode in enumerate(dataset.episode_lists[0]):
        query, class_id = pool[number % len(pool)]
        of_class = [name for name, c in pool if c == class_id]
        supports = []
        while len(supports) < 5:
            name = rs.choice(of_class, 1, replace=False)[0]
            if name != query:
                supports.append(name)
        assert episode.to_list() == [query, class_id, supports]
    assert len(dataset) == 1000


@pytest.mark.parametrize('cls',
                         [PASCAL5iDataset, COCO20iDataset, FSS1000Dataset])
def test_training_draw_is_a_pure_function(cls, no_files):
    one = cls(data_root=no_files, seed=3)
    other = cls(data_root=no_files, seed=3)
    forward = [one.get_episode((2, n)) for n in range(50)]
    np.random.seed(1)  # the global state plays no part
    backward = [other.get_episode((2, n)) for n in reversed(range(50))]
    assert forward == backward[::-1]
    assert forward != [one.get_episode((3, n)) for n in range(50)]
    reseeded = cls(data_root=no_files, seed=4)
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


def test_epoch_in_testing_is_refused(no_files):
    with pytest.raises(TypeError, match=r'indexed by n, not by \(0, 3\).*Default'):
        PASCAL5iDataset(data_root=no_files, test_mode=True)[0, 3]


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
