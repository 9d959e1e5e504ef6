"""The dataset converters, run as a user runs them, on real file formats."""
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_api
import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from PIL import Image
from scipy.io import savemat
from torch.optim import Adam

import mmfss.datasets
from mmfss.datasets import PASCAL5iDataset
from mmfss.datasets.episodes import checksum
from mmfss.registry import DATASETS, MODELS
from tests.conftest import REPO, pipeline

TOOLS = REPO / 'tools' / 'dataset_converters'
OF_VOC = '2007_000032', '2007_000033'  # with a mask in SBD, too, and without
OF_SBD = '2008_000008', '2008_000015', '2008_000016'
# COCO's ids run to 90, with gaps
GAPS = 12, 26, 29, 30, 45, 66, 68, 69, 71, 83
COCO_IDS = [i for i in range(1, 91) if i not in GAPS]


def command(tool, *args):
    return [sys.executable, str(TOOLS / f'{tool}.py'), *map(str, args)]


def run(tool, *args, code=0):
    done = subprocess.run(
        command(tool, *args),
        env=dict(os.environ, OMP_NUM_THREADS='1', COLUMNS='200'),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300)
    assert done.returncode == code, done.stdout[-3000:]
    assert 'Traceback' not in done.stdout
    return done.stdout


def error(tool, *args):
    """The one line that a user sees when input is bad."""
    last = run(tool, *args, code=1).splitlines()[-1]
    assert last.startswith('error: ')
    return last


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def masks_in(folder):
    """The masks by name; nothing else may lie in the folder but the record."""
    others = [p.name for p in folder.iterdir() if p.suffix != '.png']
    assert others == ['conversion.json']
    return {p.stem: read(p) for p in folder.iterdir() if p.suffix == '.png'}


def train_step(dataset):
    """One optimizer step on an episode of a dataset."""
    cfg = Config.fromfile(REPO / 'configs' / 'hsnet_mobilenetv2_objects30.py')
    cfg.model.backbone.pop('init_cfg', None)
    model = MODELS.build(cfg.model)
    optim = OptimWrapper(
        Adam([p for p in model.parameters() if p.requires_grad]))
    losses = model.train_step(pseudo_collate([dataset[0, 0]]), optim)
    assert np.isfinite(losses['loss'].item())


# VOC and SBD


def draw(value, boundary=False, size=(50, 40)):
    mask = np.zeros(size[::-1], np.uint8)
    if boundary:
        mask[7:21, 7:31] = 255
    mask[8:20, 8:30] = value
    return mask


def save_mat(path, mask):
    """SBD's format: a struct GTcls, its masks and boundaries by class."""
    savemat(
        path, {
            'GTcls':
            dict(
                Boundaries=np.zeros((20, 1)),
                Segmentation=mask,
                CategoriesPresent=np.unique(mask[mask > 0]))
        },
        do_compression=True)


@pytest.fixture
def voc(tmp_path):
    """VOC2012 and SBD; lists with one image of VOC and three of SBD."""
    root, sbd = tmp_path / 'VOC2012', tmp_path / 'benchmark_RELEASE'
    for folder in (root / 'JPEGImages', root / 'SegmentationClass',
                   root / 'ImageSets' / 'Segmentation',
                   sbd / 'dataset' / 'cls'):
        folder.mkdir(parents=True)
    for name in (*OF_VOC, *OF_SBD):
        Image.new('RGB', (50, 40), 'gray').save(
            root / 'JPEGImages' / f'{name}.jpg')
    for name in OF_VOC:
        png = Image.fromarray(draw(1, boundary=True))
        png.putpalette([i for i in range(256) for _ in range(3)])
        png.save(root / 'SegmentationClass' / f'{name}.png')
    (root / 'ImageSets' / 'Segmentation' / 'trainval.txt').write_text(
        '\n'.join(OF_VOC) + '\n')
    for value, name in enumerate((OF_VOC[0], *OF_SBD), 1):
        save_mat(sbd / 'dataset' / 'cls' / f'{name}.mat', draw(value))
    (sbd / 'dataset' / 'train.txt').write_text(
        '\n'.join((OF_VOC[0], *OF_SBD[:2])) + '\n')
    (sbd / 'dataset' / 'val.txt').write_text(f'{OF_SBD[2]}\n')
    return root, sbd


@pytest.mark.parametrize('nproc', [1, 2])
def test_voc_sbd(voc, nproc):
    root, sbd = voc
    output = run('voc_sbd', root, sbd, '--nproc', nproc)
    assert '5 masks, 2 of VOC and 3 of SBD; 5 made now, 0 were there' in output
    assert 'the usual set has 12031 masks' in output
    assert '5/5' in output  # the progress bar
    masks = masks_in(root / 'SegmentationClassAug')
    assert set(masks) == {*OF_VOC, *OF_SBD}
    for name in OF_VOC:
        assert np.array_equal(masks[name], draw(1, boundary=True))
    for value, name in enumerate(OF_SBD, 2):
        assert np.array_equal(masks[name], draw(value))
    with Image.open(root / 'SegmentationClassAug' / f'{OF_SBD[0]}.png') as png:
        palette = png.getpalette()
    # VOC's: background, aeroplane, bicycle; boundary
    assert palette[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert palette[-3:] == [224, 224, 192]


def test_voc_palette_is_the_real_one(voc, voc_subset):
    root, sbd = voc
    run('voc_sbd', root, sbd)
    masks = voc_subset / 'VOCdevkit' / 'VOC2012' / 'SegmentationClassAug'
    with Image.open(next(masks.iterdir())) as real, Image.open(
            root / 'SegmentationClassAug' / f'{OF_VOC[0]}.png') as ours:
        assert ours.getpalette() == real.getpalette()


def test_voc_sbd_feeds_the_dataset(voc, tmp_path):
    root, sbd = voc
    out_dir = tmp_path / 'masks'
    save_mat(sbd / 'dataset' / 'cls' / f'{OF_SBD[0]}.mat', draw(1))
    run('voc_sbd', root, sbd, '--out-dir', out_dir)
    os.rename(out_dir, root / 'SegmentationClassAug')
    lists = tmp_path / 'lists'
    for part in ('trn', 'val'):
        (lists / part).mkdir(parents=True)
        for fold in range(4):
            (lists / part / f'fold{fold}.txt').write_text(
                f'{OF_VOC[1]}__01\n{OF_SBD[0]}__01\n' if fold == 0 else '')
    setup = dict(
        data_root=str(root), split_dir=str(lists), pipeline=pipeline(64))
    inputs = PASCAL5iDataset(test_mode=True, **setup)[0]
    sample = inputs['data_samples']
    expected = draw(1, boundary=True)
    rows = (np.arange(64) * 40 / 64).astype(int)
    columns = (np.arange(64) * 50 / 64).astype(int)
    assert np.array_equal(sample.gt_sem_seg.data.squeeze().numpy(),
                          expected[rows][:, columns])
    assert np.array_equal(sample.support_masks.squeeze().numpy(),
                          draw(1)[rows][:, columns])
    train_step(PASCAL5iDataset(fold=1, **setup))


def test_voc_sbd_goes_on(voc):
    root, sbd = voc
    run('voc_sbd', root, sbd)
    out_dir = root / 'SegmentationClassAug'
    expected = masks_in(out_dir)
    (out_dir / f'{OF_VOC[0]}.png').unlink()
    half = (out_dir / f'{OF_SBD[0]}.png').read_bytes()
    (out_dir / f'{OF_SBD[0]}.png').write_bytes(half[:-40])
    Image.new('RGB', (50, 40)).save(out_dir / f'{OF_SBD[1]}.png')
    (out_dir / '.killed.png.mmfss-tmp').write_bytes(half[:20])
    kept = (out_dir / f'{OF_SBD[2]}.png').stat().st_mtime_ns
    assert '3 made now, 2 were there' in run('voc_sbd', root, sbd)
    found = masks_in(out_dir)
    assert all(np.array_equal(found[n], expected[n]) for n in expected)
    assert (out_dir / f'{OF_SBD[2]}.png').stat().st_mtime_ns == kept
    assert '0 made now, 5 were there' in run('voc_sbd', root, sbd)


def test_voc_sbd_mask_of_another_size(voc):
    root, sbd = voc
    save_mat(sbd / 'dataset' / 'cls' / f'{OF_SBD[1]}.mat', draw(1)[:30, :30])
    message = error('voc_sbd', root, sbd)
    assert f'{OF_SBD[1]}.mat is (30, 30)' in message and '(50, 40)' in message


def test_killed_worker(tmp_path, monkeypatch):
    """Out of memory, say: an error, not a wait for ever."""
    done = subprocess.run(
        [sys.executable, '-c', 'import os, signal, sys\n'
         f'sys.path.insert(0, {str(TOOLS)!r})\n'
         'from common import parallel_map, run\n'
         'def die(item): os.kill(os.getpid(), signal.SIGKILL)\n'
         "run(lambda: parallel_map(die, [1, 2, 3], 2, 'masks'))"],
        text=True, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert 'a smaller --nproc' in done.stdout + done.stderr


def test_verify_half_prepared_folder(tmp_path):
    """The shipped lists are as published, whatever files are there."""
    (tmp_path / 'JPEGImages').mkdir()
    output = run('verify', 'pascal5i', tmp_path, code=1)
    assert output.count('as published') == 8 and 'NOT' not in output


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_voc_sbd_interrupted(voc, how):
    """Ended in the middle, it leaves whole masks only, and then goes on."""
    root, sbd = voc
    rs = np.random.RandomState(0)  # noise, so that writing takes its time
    mask = rs.randint(0, 21, (700, 700), dtype=np.uint8)
    names = [f'2009_{n:06d}' for n in range(300)]
    first = sbd / 'dataset' / 'cls' / f'{names[0]}.mat'
    save_mat(first, mask)
    for name in names[1:]:
        os.link(first, first.with_name(f'{name}.mat'))
    for name in names:
        Image.new('L', (700, 700)).save(root / 'JPEGImages' / f'{name}.jpg')
    with open(sbd / 'dataset' / 'val.txt', 'a') as file:
        file.write('\n'.join(names))
    out_dir = root / 'SegmentationClassAug'
    process = subprocess.Popen(
        command('voc_sbd', root, sbd, '--nproc', 2),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # a shell's background job, and so its tests, would ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True)
    while len(list(out_dir.glob('2009*.png'))) < 20:
        assert process.poll() is None
        time.sleep(.02)
    if how == signal.SIGINT:  # as a terminal does: to every process
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    output = process.communicate(timeout=60)[0]  # until the last process ended
    assert process.returncode == (1 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert output.splitlines()[-1].startswith('interrupted. Run the same')
        assert 'Traceback' not in output
    partial = masks_in(out_dir)  # no temporary file
    assert 20 <= len(partial) < 300
    assert all(np.array_equal(partial[n], mask) for n in names if n in partial)

    assert '305 masks' in run('voc_sbd', root, sbd, '--nproc', 2)
    found = masks_in(out_dir)
    assert len(found) == 305
    assert all(np.array_equal(found[n], mask) for n in names)


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def as_colours(path):
    Image.open(path).convert('RGB').save(path)


def as_16_bit(path):
    Image.fromarray(read(path).astype(np.uint16) * 256).save(path)


def another_mat(path):
    savemat(path, {'GTinst': dict(Segmentation=draw(1))})


@pytest.mark.parametrize('file, spoil, words', [
    ('sbd:cls/2008_000008.mat', cut, 'is no .mat file'),
    ('sbd:cls/2008_000008.mat', lambda p: p.write_bytes(b''), 'is no .mat file'),
    ('sbd:cls/2008_000008.mat', another_mat, "GTcls'"),
    ('sbd:cls/2008_000008.mat', lambda p: save_mat(p, draw(21)),
     'unknown values [21]'),
    ('sbd:cls/2008_000008.mat', lambda p: p.unlink(), '1 of 3 files are missing'),
    ('sbd:val.txt', lambda p: p.unlink(), 'benchmark.tgz'),
    ('voc:SegmentationClass/2007_000032.png', as_colours, 'mode RGB'),
    ('voc:SegmentationClass/2007_000032.png', as_16_bit, 'mode I;16'),
    ('voc:SegmentationClass/2007_000032.png', cut, 'cannot be read'),
    ('voc:SegmentationClass/2007_000032.png', lambda p: p.unlink(),
     '1 of 2 files are missing'),
    ('voc:ImageSets/Segmentation/trainval.txt', lambda p: p.unlink(),
     'VOCtrainval_11-May-2012.tar'),
])
def test_voc_sbd_bad_input(voc, file, spoil, words):
    root, sbd = voc
    where, file = file.split(':')
    path = {'voc': root, 'sbd': sbd / 'dataset'}[where] / file
    spoil(path)
    message = error('voc_sbd', root, sbd, '--nproc', 2)
    assert str(path) in message and words in message
    assert 'npack' in message or 'Replace' in message
    out_dir = root / 'SegmentationClassAug'
    if out_dir.exists():  # found out on the way: the others are whole
        assert path.stem not in masks_in(out_dir)


def test_masks_of_another_origin_are_kept(voc):
    root, sbd = voc
    out_dir = root / 'SegmentationClassAug'
    out_dir.mkdir()
    (out_dir / f'{OF_VOC[0]}.png').write_bytes(b'mine')
    assert 'this tool did not write them' in error('voc_sbd', root, sbd)
    assert [p.read_bytes() for p in out_dir.iterdir()] == [b'mine']


# COCO


def box(x0, y0, x1, y1):
    """A rectangle as polygon: the pixels [y0:y1, x0:x1]."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def counts(mask):
    """Uncompressed run lengths, in columns, from a run of zeros."""
    flat = np.concatenate([[0], mask.ravel(order='F'), [0]])
    ends = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], ends, [mask.size]])).tolist()


def patch(x0, y0, x1, y1):
    mask = np.zeros((48, 64), np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


# two polygons; one over it; a crowd; run lengths in both forms
OBJECTS = [
    dict(category_id=1, segmentation=[box(4, 4, 20, 20), box(30, 4, 40, 20)]),
    dict(category_id=90, segmentation=[box(10, 10, 34, 16)]),
    dict(
        category_id=18,
        iscrowd=1,
        segmentation=dict(size=[48, 64], counts=counts(patch(0, 14, 64, 26)))),
    dict(
        category_id=3,
        segmentation=dict(size=[48, 64], counts=counts(patch(2, 30, 20, 40)))),
    dict(
        category_id=13,
        segmentation=dict(
            size=[48, 64],
            counts=mask_api.encode(np.asfortranarray(patch(
                30, 30, 50, 40)))['counts'].decode())),
]
# every category in its place of a grid
GRID = [
    dict(
        category_id=category,
        segmentation=[box(*(6 * x, 6 * y, 6 * x + 5, 6 * y + 5))])
    for (y, x), category in zip(np.ndindex(8, 10), COCO_IDS)
]
IMAGES = {9: OBJECTS, 25: GRID, 30: GRID, 36: [], 42: OBJECTS[2:3]}


def instances(split):
    annotations = [
        dict(dict(iscrowd=0), **item, image_id=image) for image in IMAGES
        for item in IMAGES[image]
    ]
    return dict(
        categories=[dict(id=i, name=f'category {i}') for i in COCO_IDS[::-1]],
        images=[
            dict(
                id=image,
                file_name=f'COCO_{split}_{image:012d}.jpg',
                width=64,
                height=48) for image in IMAGES
        ],
        annotations=[
            json.loads(json.dumps(dict(a, id=n), default=int))
            for n, a in enumerate(annotations, 100)
        ])


@pytest.fixture
def coco(tmp_path):
    """A COCO 2014 folder."""
    root = tmp_path / 'coco'
    (root / 'annotations').mkdir(parents=True)
    for split in ('train2014', 'val2014'):
        (root / split).mkdir()
        for info in instances(split)['images']:
            Image.new('RGB', (64, 48), 'gray').save(
                root / split / info['file_name'])
        (root / 'annotations' / f'instances_{split}.json').write_text(
            json.dumps(instances(split)))
    return root


def expected_mask(polygons='all', overlap='later', crowd='skip'):
    person = patch(4, 4, 20, 20)
    if polygons == 'all':
        person |= patch(30, 4, 40, 20)
    drawn = [(1, person), (80, patch(10, 10, 34, 16)),
             (17, patch(0, 14, 64, 26)), (3, patch(2, 30, 20, 40)),
             (12, patch(30, 30, 50, 40))]
    mask = np.zeros((48, 64), np.uint8)
    for value, pixels in drawn if overlap == 'later' else drawn[::-1]:
        if value != 17 or crowd == 'draw':
            mask[pixels == 1] = value
    return mask


@pytest.mark.parametrize('options', [
    {},
    dict(polygons='first'),
    dict(overlap='earlier'),
    dict(crowd='draw'),
    dict(polygons='first', overlap='earlier', crowd='draw'),
])
def test_coco20i(coco, options):
    args = [f'--{key}={value}' for key, value in options.items()]
    output = run('coco20i', coco, '--nproc', 2, *args)
    grid = np.zeros((48, 64), np.uint8)
    for value, (y, x) in enumerate(np.ndindex(8, 10), 1):
        grid[6 * y:6 * y + 5, 6 * x:6 * x + 5] = value
    for split in ('train2014', 'val2014'):
        folder = coco / 'annotations' / split
        assert f'{folder}: 4 masks; 4 made now, 0 were there.' in output
        masks = masks_in(folder)
        names = [f'COCO_{split}_{image:012d}' for image in IMAGES]
        assert set(masks) == {*names} - {names[3]}  # without annotation
        assert np.array_equal(masks[names[0]], expected_mask(**options))
        assert np.array_equal(masks[names[1]], grid)
        assert masks[names[4]].any() == ('crowd' in options)
        with Image.open(folder / f'{names[0]}.png') as png:
            assert png.mode == 'L'


def test_coco20i_conventions_do_not_mix(coco, tmp_path):
    run('coco20i', coco)
    folder = coco / 'annotations' / 'train2014'
    before = masks_in(folder)
    assert '0 made now, 4 were there' in run('coco20i', coco)
    message = error('coco20i', coco, '--polygons', 'first')
    assert str(folder / 'conversion.json') in message
    assert "'polygons': 'all'" in message and 'another output' in message
    after = masks_in(folder)
    assert all(np.array_equal(before[n], after[n]) for n in before)
    run('coco20i', coco, '--polygons', 'first', '--out-dir', tmp_path / 'first')
    assert len(masks_in(tmp_path / 'first' / 'val2014')) == 4


def test_coco20i_goes_on(coco):
    run('coco20i', coco)
    folder = coco / 'annotations' / 'val2014'
    expected = masks_in(folder)
    paths = sorted(folder.glob('*.png'))
    paths[0].unlink()
    cut(paths[1])
    Image.new('L', (32, 48)).save(paths[2])
    assert f'{folder}: 4 masks; 3 made now, 1 were there' in run('coco20i', coco)
    found = masks_in(folder)
    assert all(np.array_equal(found[n], expected[n]) for n in expected)


def changed(change):
    def spoil(path):
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return spoil


def segmentation(value):
    return changed(lambda d: d['annotations'][0].update(segmentation=value))


@pytest.mark.parametrize('spoil, words', [
    (cut, 'is cut off'),
    (lambda p: p.unlink(), 'annotations_trainval2014.zip'),
    (lambda p: p.write_text('[]'), 'is no instances file'),
    (changed(lambda d: d.pop('images')), "KeyError('images')"),
    (changed(lambda d: d['images'].append(d['images'][0])), 'image id 9 twice'),
    (changed(lambda d: d['annotations'].append(d['annotations'][0])),
     'annotation id 100 twice'),
    (changed(lambda d: d['categories'].pop()), '79 categories'),
    (changed(lambda d: d['annotations'][0].update(image_id=5)),
     'annotation 100 has image_id 5'),
    (changed(lambda d: d['annotations'][0].update(category_id=12)),
     'annotation 100 has category_id 12'),
    (changed(lambda d: d['images'][0].update(file_name='000000000009.jpg')),
     'COCO 2014'),
    (changed(lambda d: d['images'][0].update(width=None)), 'width'),
    (segmentation([]), 'annotation 100 (image COCO_train2014_000000000009)'),
    (segmentation([[1, 1, 5, 5]]), 'three points'),
    (segmentation([[1, 1, 5, 5, 'a', 9]]), 'annotation 100'),
    (segmentation(dict(size=[48, 64], counts=[3, 4])), 'do not add up'),
    (segmentation(dict(size=[64, 48], counts=[3072])), 'size'),
    (segmentation(dict(size=[48, 64], counts='junk')), 'annotation 100'),
    (segmentation(None), 'annotation 100'),
])
def test_coco20i_bad_input(coco, spoil, words):
    path = coco / 'annotations' / 'instances_train2014.json'
    spoil(path)
    message = error('coco20i', coco, '--nproc', 2)
    assert str(path) in message and words in message
    assert 'npack' in message or 'Use' in message
    folder = coco / 'annotations' / 'train2014'
    if folder.exists():  # found out on the way: the others are whole
        assert 'COCO_train2014_000000000009' not in masks_in(folder)


# FSS-1000


def make_class(folder):
    folder.mkdir(parents=True)
    for number in range(1, 11):
        Image.new('RGB', (32, 32), 'gray').save(folder / f'{number}.jpg')
        Image.fromarray(patch(8, 8, 24, 24)[:32, :32] * 255).save(
            folder / f'{number}.png')


@pytest.fixture
def fss(tmp_path):
    """An FSS-1000 folder with the real names, its files linked."""
    root = tmp_path / 'fss1000'
    lists = Path(mmfss.datasets.__file__).parent / 'splits' / 'fss'
    names = ' '.join(p.read_text() for p in lists.glob('*.txt')).split()
    make_class(root / names[0])
    for name in names[1:]:
        shutil.copytree(root / names[0], root / name, copy_function=os.link)
    return root


def test_fss1000(fss):
    (fss / '.ipynb_checkpoints').mkdir()
    output = run('fss1000', fss, '--nproc', 2)
    assert output.splitlines()[-1] == f'{fss}: 1000 classes, 0 problem(s).'
    output = run('verify', 'fss1000', fss)
    assert ['train', '520', '5200', '5200/5200', '5200/5200'] in [
        line.split()[:-1] for line in output.splitlines()
    ]
    assert output.count('2400 episodes') == output.count('as published') == 2


def test_fss1000_problems(fss):
    classes = sorted(fss.iterdir())

    def replace(path, image):
        path.unlink()  # the others are links to the same file
        image.save(path)

    (classes[1] / '10.jpg').unlink()
    replace(classes[2] / '3.png', Image.new('L', (30, 32), 255))
    replace(classes[3] / '4.png', Image.new('L', (32, 32), 0))
    replace(classes[4] / '5.png', Image.new('I;16', (32, 32), 65535))
    (classes[5] / '6.jpg').unlink()
    (classes[5] / '6.jpg').write_bytes(b'no image')
    replace(classes[6] / '1.png', Image.new('RGB', (32, 32), 'white'))  # is fine
    palette = Image.new('P', (32, 32), 1)
    palette.putpalette([0, 0, 0, 255, 255, 255])
    replace(classes[7] / '1.png', palette)
    shutil.rmtree(classes[999])
    lines = run('fss1000', fss, '--nproc', 2, code=1).splitlines()
    assert lines[-1] == f'{fss}: 999 classes, 7 problem(s).'
    for line, (where, words) in zip(lines[-8:-1], [
        (classes[1], 'missing: 10.jpg. Unpack'),
        (classes[2] / '3.png', 'the mask has size (32, 30)'),
        (classes[3] / '4.png', 'shows no object'),
        (classes[4] / '5.png', 'it is uint16'),
        (classes[5] / '6.jpg', 'cannot be read'),
        (classes[7] / '1.png', 'greatest value is 1'),
        (fss, '999 class folders instead of 1000'),
    ]):
        assert line.startswith(f'{where}: ') and words in line, line


def test_fss1000_absent(tmp_path):
    assert 'Unpack FSS-1000 there' in error('fss1000', tmp_path / 'nowhere')


# verify


def verify_pascal(root, *args, code=0):
    return run('verify', 'pascal5i', root, '--split-dir', root / 'splits',
               *args, '--nproc', 2, code=code)


def test_verify_pascal(tiny_voc):
    output = verify_pascal(tiny_voc, '--masks')
    assert ['fold', '0', 'train', '15', '45', '45/45', '45/45'] in [
        line.split()[:-1] for line in output.splitlines()
    ]
    assert ['fold', '3', 'test', '5', '15', '15/15', '15/15'] in [
        line.split()[:-1] for line in output.splitlines()
    ]
    assert '60 masks: all show the classes they are listed for' in output
    for shot in (1, 5):
        dataset = PASCAL5iDataset(
            fold=2,
            shot=shot,
            data_root=str(tiny_voc),
            split_dir=str(tiny_voc / 'splits'),
            test_mode=True)
        assert (f'fold 2 test   {shot}-shot  1000 episodes  '
                f'{checksum(dataset.episode_lists[0])}  NOT the published') in output
    assert output.splitlines()[-1] == '0 problem(s).'


def test_verify_mask_dir(tiny_voc, tmp_path):
    (tiny_voc / 'SegmentationClassAug').rename(tiny_voc / 'mine')
    output = verify_pascal(tiny_voc, '--masks', '--mask-dir', 'mine')
    assert '60 masks: all show the classes they are listed for' in output
    (tiny_voc / 'mine').rename(tmp_path / 'out')
    verify_pascal(tiny_voc, '--mask-dir', tmp_path / 'out')
    message = error('verify', 'fss1000', tiny_voc, '--mask-dir', 'mine')
    assert '--mask-dir' in message and 'beside its photo' in message


def test_verify_missing(tiny_voc):
    (tiny_voc / 'JPEGImages' / '2007_001000.jpg').unlink()
    for number in range(12):
        (tiny_voc / 'SegmentationClassAug' /
         f'2007_{6 + number // 3:03d}{number % 3:03d}.png').unlink()
    output = verify_pascal(tiny_voc, '--masks', code=1)
    assert ['fold', '1', 'test', '5', '15', '15/15', '3/15'] in [
        line.split()[:-1] for line in output.splitlines()
    ]
    assert '1 images are missing' in output and '2007_001000.jpg' in output
    assert '12 masks are missing: make them with the converter' in output
    assert '... and 2 more' in output
    assert 'fold 0 test   1-shot' in output  # lists need no files
    assert output.splitlines()[-1] == '13 problem(s).'


@pytest.mark.parametrize('spoil, words', [
    (as_colours, 'must be a palette or 8-bit grey PNG'),
    (as_16_bit, 'must be a palette or 8-bit grey PNG'),
    (lambda p: Image.fromarray(draw(33)).save(p), 'unknown values [33]'),
    (lambda p: p.write_bytes(p.read_bytes()[:50]), '2007_002001.png: '),
    (lambda p: Image.new('L', (4, 4)).save(p), 'the mask has size (4, 4)'),
])
def test_verify_bad_masks(tiny_voc, spoil, words):
    path = tiny_voc / 'SegmentationClassAug' / '2007_002001.png'
    spoil(path)
    output = verify_pascal(tiny_voc, '--masks', code=1)
    line, = (li for li in output.splitlines() if li.startswith(f'  {path}: '))
    assert words in line
    assert '1 of 60 masks cannot be used' in output


def test_verify_masks_of_other_values(tiny_voc):
    """Values that are shifted by one are known, but not the listed classes."""
    for path in (tiny_voc / 'SegmentationClassAug').iterdir():
        mask = read(path)
        mask[(mask > 0) & (mask < 255)] -= 1
        Image.fromarray(mask).save(path)
    output = verify_pascal(tiny_voc, '--masks', code=1)
    assert '60 of 60 times, a mask does not show the class' in output
    assert 'masks and lists do not belong together' in output


def test_verify_lists_of_another_layout(tiny_voc):
    path = tiny_voc / 'splits' / 'trn'
    (path / 'fold1.txt').write_text((path / 'fold2.txt').read_text())
    message = error('verify', 'pascal5i', tiny_voc, '--split-dir',
                    tiny_voc / 'splits')
    assert 'fold1.txt:1' in message and 'a class of fold 1' in message


def test_verify_absent_folder(tmp_path):
    message = error('verify', 'pascal5i', tmp_path / 'nowhere')
    assert 'nowhere' in message and 'holds the prepared data' in message


def test_verify_coco20i(coco, tmp_path):
    run('coco20i', coco)
    lists = {s: {str(c): [25, 30] for c in range(80)}
             for s in ('train2014', 'val2014')}
    with gzip.open(tmp_path / 'coco20i.json.gz', 'wt') as file:
        json.dump(lists, file)
    output = run('verify', 'coco20i', coco, '--split-dir', tmp_path, '--masks')
    assert '4 masks: all show the classes they are listed for' in output
    assert ['fold', '1', 'test', '20', '40', '2/2', '2/2'] in [
        line.split()[:-1] for line in output.splitlines()
    ]
    path = coco / 'annotations' / 'val2014' / 'COCO_val2014_000000000030.png'
    mask = read(path)
    mask[mask == 7] = 6  # as if a later object hid it
    Image.fromarray(mask).save(path)
    output = run('verify', 'coco20i', coco, '--split-dir', tmp_path, '--masks')
    assert '1 of 320 times, a mask does not show the class' in output
    assert 'few enough to be a matter of how masks are drawn' in output
    assert f'{path}: class 6 (from 0)' in output
    train_step(
        DATASETS.build(
            dict(
                type='COCO20iDataset',
                data_root=str(coco),
                split_dir=str(tmp_path),
                pipeline=pipeline(64))))


def test_verify_fss1000(tmp_path):
    root = tmp_path / 'fss1000'
    for part in ('trn', 'val', 'test'):
        for number in range(2):
            make_class(root / f'{part}{number}')
        (tmp_path / f'{part}.txt').write_text(f'{part}0\n{part}1\n')
    output = run('verify', 'fss1000', root, '--split-dir', tmp_path, '--masks')
    assert ['val', '2', '20', '20/20', '20/20'] in [
        line.split()[:-1] for line in output.splitlines()
    ]
    assert 'test          5-shot  20 episodes' in output
    train_step(
        DATASETS.build(
            dict(
                type='FSS1000Dataset',
                data_root=str(root),
                split_dir=str(tmp_path),
                pipeline=pipeline(64))))
