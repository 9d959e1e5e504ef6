from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmfss.evaluation import FewShotIoU

DATA = Path(__file__).parents[1] / 'data'
CLASSES = tuple(f'class{i}' for i in range(80))


def evaluate(preds, labels, class_ids, fold, batch=1, seeds=None, queries=None,
             metric=None):
    metric = metric or FewShotIoU()
    metric.dataset_meta = dict(classes=CLASSES, class_ids=fold)
    samples = [
        dict(
            pred_sem_seg=dict(data=torch.as_tensor(p)[None]),
            gt_sem_seg=dict(data=torch.as_tensor(g)[None]),
            class_id=int(c),
            query=str(q),
            seed=int(s)) for p, g, c, q, s in zip(
                preds, labels, class_ids, queries or range(len(preds)),
                seeds or [0] * len(preds))
    ]
    for i in range(0, len(samples), batch):
        metric.process({}, samples[i:i + batch])
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('benchmark', ['pascal', 'coco'])
@pytest.mark.parametrize('batch', [1, 7])
def test_golden(benchmark, batch):
    golden = np.load(DATA / f'metric_{benchmark}.npz')
    shape = tuple(golden['shape'])

    def unpack(name):
        return np.unpackbits(golden[name])[:np.prod(shape)].reshape(shape)

    labels = unpack('gt').astype(np.int64)
    labels[unpack('ignore') == 1] = 255
    result = evaluate(
        unpack('pred').astype(np.int64), labels, golden['class_id'],
        golden['class_ids'].tolist(), batch)
    assert result['mIoU'] == pytest.approx(float(golden['mIoU']), abs=1e-4)
    assert result['FB-IoU'] == pytest.approx(float(golden['FBIoU']), abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31 - 1))
def test_bounds_and_all_foreground(seed):
    rs = np.random.RandomState(seed)
    labels = rs.choice([0, 1, 255], (6, 8, 8))
    class_ids = rs.randint(0, 3, 6)
    perfect = evaluate(labels == 1, labels, class_ids, sorted(set(class_ids)))
    assert perfect['mIoU'] == perfect['FB-IoU'] == 100
    trivial = evaluate(np.ones_like(labels), labels, class_ids, [0, 1, 2])
    assert trivial['mIoU'] == pytest.approx(trivial['mIoU_all_foreground'])
    wrong = evaluate(labels != 1, labels, class_ids, [0, 1, 2])
    assert wrong['mIoU'] == wrong['FB-IoU'] == 0


def test_seeds_are_averaged():
    rs = np.random.RandomState(0)
    preds, labels = rs.randint(0, 2, (2, 30, 8, 8))
    class_ids = np.arange(30) % 3
    lists = [slice(0, 12), slice(12, 30)]
    each = [evaluate(preds[s], labels[s], class_ids[s], [0, 1, 2]) for s in lists]
    metric = FewShotIoU()
    both = evaluate(
        preds, labels, class_ids, [0, 1, 2], seeds=[5] * 12 + [9] * 18,
        metric=metric)
    for key in ('mIoU', 'FB-IoU'):
        values = [result[key] for result in each]
        assert both[key] == pytest.approx(np.mean(values))
        assert both[f'{key}_std'] == pytest.approx(np.std(values, ddof=1))
        assert f'{key}_std' not in each[0]
    assert metric.breakdown['per_seed'][9]['mIoU'] == pytest.approx(
        each[1]['mIoU'])


def test_bootstrap_interval():
    rs = np.random.RandomState(0)
    labels = rs.randint(0, 2, (40, 8, 8))
    preds = np.where(rs.rand(40, 8, 8) < rs.rand(40, 1, 1), labels, 1 - labels)
    few = evaluate(preds[:8], labels[:8], [0] * 8, [0])
    many = evaluate(np.tile(preds, (9, 1, 1)), np.tile(labels, (9, 1, 1)),
                    [0] * 360, [0])
    for result in (few, many):
        assert result['mIoU_low'] < result['mIoU'] < result['mIoU_high']
    assert (many['mIoU_high'] - many['mIoU_low'] <
            few['mIoU_high'] - few['mIoU_low'])
    same = evaluate(np.tile(preds[:1], (5, 1, 1)), np.tile(labels[:1], (5, 1, 1)),
                    [0] * 5, [0])
    assert same['mIoU_low'] == pytest.approx(same['mIoU_high'])


def test_repeated_queries_do_not_narrow_the_interval():
    """Episodes of one query are no independent draws."""
    rs = np.random.RandomState(0)
    labels = rs.randint(0, 2, (12, 8, 8))
    preds = np.where(rs.rand(12, 8, 8) < rs.rand(12, 1, 1), labels, 1 - labels)
    once = evaluate(preds, labels, [0] * 12, [0])
    again = evaluate(np.tile(preds, (5, 1, 1)), np.tile(labels, (5, 1, 1)),
                     [0] * 60, [0], queries=[*range(12)] * 5)
    lists = evaluate(np.tile(preds, (5, 1, 1)), np.tile(labels, (5, 1, 1)),
                     [0] * 60, [0], queries=[*range(12)] * 5,
                     seeds=np.repeat(range(5), 12).tolist())
    for result in (again, lists):
        for key in ('mIoU', 'mIoU_low', 'mIoU_high'):
            assert result[key] == pytest.approx(once[key])


def test_class_missing_from_one_list_is_loud(log):
    labels = np.ones((3, 4, 4), int)
    result = evaluate(labels, labels, [0, 1, 0], [0, 1], seeds=[0, 0, 1])
    assert result['mIoU'] == 75
    assert any('seed 1 has no episode of class1' in line for line in log)


def test_breakdown_by_object_size():
    labels = np.zeros((3, 8, 8), int)
    labels[0, 0, 0] = labels[1, :2, :4] = labels[2, :4] = 1  # 1/64, 1/8, 1/2
    metric = FewShotIoU()
    evaluate(labels, labels, [0, 1, 1], [0, 1], metric=metric)
    rows = metric.breakdown['per_size']
    assert [row['episodes'] for row in rows.values()] == [1, 1, 1]
    assert [row['all_foreground'] for row in rows.values()] == pytest.approx(
        [100 / 64, 12.5, 50])
    assert metric.breakdown['per_class']['class1'] == dict(
        IoU=100, area_ratio=1, all_foreground=pytest.approx(100 * 40 / 128), episodes=2,
        intersection=40, union=40, labelled=40, valid=128)


def test_area_that_is_called_foreground():
    pred, label = np.zeros((2, 1, 4, 4), int)
    pred[0, :3], label[0, 1] = 1, 1
    label[0, 0, 0] = 255
    metric = FewShotIoU()
    evaluate(pred, label, [0], [0], metric=metric)
    assert metric.breakdown['per_class']['class0']['area_ratio'] == 11 / 4


def test_table_names_the_classes(log):
    evaluate(np.ones((1, 2, 2)), np.ones((1, 2, 2)), [7], [7])
    table = '\n'.join(log)
    assert 'class7' in table and 'class6' not in table


def test_saved_masks(tmp_path):
    metric = FewShotIoU(output_dir=str(tmp_path))
    mask = torch.tensor([[[0, 1], [1, 1]]])
    metric.process({}, [
        dict(
            pred_sem_seg=dict(data=mask),
            gt_sem_seg=dict(data=mask),
            class_id=0,
            class_name='cup/mug',
            seed=0,
            sample_idx=12,
            query='cup/03')
    ])
    saved = Image.open(tmp_path / '0012_cup_mug_cup_03.png')
    assert np.array(saved).tolist() == [[0, 255], [255, 255]]
