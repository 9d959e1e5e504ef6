"""Ways to say where the object is: all become the same mask."""
import base64
import io
import json
import sys

import cv2
import numpy as np
import pycocotools.mask as mask_api
import pytest
from PIL import Image

from mmfss.apis.images import read_support
from mmfss.datasets.annotations import SupportAnnotation
from tests.test_apis.test_few_shot_inferencer import masks, same

ORIENTATION = 0x0112


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.fixture
def scene(tmp_path):
    """A photo of 60 x 40 with a red rectangle and a blue one, and its path."""
    image = np.full((40, 60, 3), 90, np.uint8)
    image += np.random.RandomState(0).randint(0, 9, image.shape, dtype=np.uint8)
    image[10:30, 15:35] = (20, 20, 220)
    image[5:15, 45:55] = (220, 20, 20)
    Image.fromarray(image[..., ::-1]).save(tmp_path / 'a.png')
    red = np.zeros((40, 60), bool)
    red[10:30, 15:35] = True
    return image, red, tmp_path / 'a.png'


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def labelme(path, shapes, size=(60, 40)):
    return write(path, dict(
        shapes=[dict(label=label, shape_type=kind, points=points, **more)
                for label, kind, points, more in shapes],
        imageWidth=size[0], imageHeight=size[1]))


def coco(path, annotations, size=(60, 40), names=('cup', 'fork')):
    return write(path, dict(
        images=[dict(id=7, file_name='a.png', width=size[0], height=size[1]),
                dict(id=8, file_name='b.png', width=9, height=9)],
        categories=[dict(id=i, name=name) for i, name in enumerate(names, 3)],
        annotations=[dict(id=i, image_id=7, **annotation)
                     for i, annotation in enumerate(annotations)]))


def test_labelme_shapes(scene, tmp_path):
    image, red, photo = scene
    png = io.BytesIO()
    Image.fromarray(red[10:30, 15:35]).save(png, 'PNG')
    corners = [[15, 10], [34, 10], [34, 29], [15, 29]]
    for kind, points, more in (
        ('polygon', corners, {}), ('rectangle', corners[::2], {}),
        ('rectangle', corners[2::-2], {}),
        ('mask', corners[::2], dict(mask=base64.b64encode(png.getvalue()).decode()))):
        path = labelme(tmp_path / f'{kind}.json', [
            ('cup', kind, points, more),
            ('fork', 'circle', [[50, 10], [50, 13]], {})])
        mask = SupportAnnotation(path, 'cup').mask(image)
        assert mask.dtype == bool and np.array_equal(mask, red), kind
        circle = SupportAnnotation(str(path), 'fork').mask(image)
        y, x = np.mgrid[:40, :60]
        assert iou(circle, np.hypot(x - 50, y - 10) <= 3.3) > 0.8
        with pytest.raises(ValueError, match="no shape labelled 'cap'.*'cup', 'fork'"):
            SupportAnnotation(path, 'cap').mask(image)
    only = labelme(tmp_path / 'only.json', [('cup', 'polygon', corners, {})])
    assert SupportAnnotation(only, 'object').mask(image).any()


def test_coco_segmentations(scene, tmp_path):
    image, red, photo = scene
    polygons = [[15, 10, 35, 10, 35, 20, 15, 20], [15, 20, 35, 20, 35, 30, 15, 30]]
    rle = mask_api.encode(np.asfortranarray(red.astype(np.uint8)))
    counts = np.diff(np.flatnonzero(np.diff(
        np.concatenate([[2], red.T.ravel(), [2]])))).tolist()
    everything = dict(size=[40, 60], counts=[0, 2400])
    for segmentation in (polygons, dict(size=[40, 60], counts=counts),
                         dict(rle, counts=rle['counts'].decode())):
        path = coco(tmp_path / 'c.json', [
            dict(category_id=3, segmentation=segmentation, iscrowd=0),
            dict(category_id=3, segmentation=everything, iscrowd=1),
            dict(category_id=4, segmentation=[[40, 0, 50, 0, 50, 9]])])
        support = read_support(photo, path, 'cup')
        assert np.array_equal(support['gt_seg_map'], red)
    assert not (SupportAnnotation(path, 'fork').mask(image, 'x/a.png') & red).any()
    for name, where, message in (
        ('cap', photo, "no category 'cap'. There are: cup"),
        ('cup', tmp_path / 'b.png', "no 'cup' in b.png"),
        ('cup', tmp_path / 'c.png', 'no image.*c.png'),
        ('cup', '', '2 images: give the photo as a path')):
        with pytest.raises(ValueError, match=message):
            SupportAnnotation(path, name).mask(image, str(where))


def test_coco_photos_of_one_name(scene, tmp_path):
    image, red, _ = scene
    square = dict(category_id=3, segmentation=[[15, 10, 35, 10, 35, 30, 15, 30]])
    path = coco(tmp_path / 'c.json', [square, dict(category_id=4, segmentation=[
        [0, 0, 9, 0, 9, 9]])])
    content = json.loads(path.read_text())
    content['images'][1].update(file_name='sub/a.png', width=60, height=40)
    content['annotations'][1].update(image_id=8, category_id=3)
    write(path, content)
    for photo, equal in (('x/a.png', True), ('x/sub/a.png', False)):
        mask = SupportAnnotation(path, 'cup').mask(image, photo)
        assert mask.any() and np.array_equal(mask, red) == equal
    content['images'].append(dict(content['images'][1], id=9))
    write(tmp_path / 'twice.json', content)
    with pytest.raises(ValueError, match=r'2 image\(s\)'):
        SupportAnnotation(tmp_path / 'twice.json', 'cup').mask(image, 'x/sub/a.png')


def test_coco_without_pycocotools(scene, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools.coco', None)
    path = coco(tmp_path / 'none.json', [])
    with pytest.raises(ImportError, match='pip install pycocotools'):
        SupportAnnotation(path, 'cup').mask(scene[0], 'a.png')


@pytest.mark.parametrize('content, message', [
    ('{"shapes": [', 'cut off or no JSON'),
    ('', 'empty'),
    ('[]', 'neither of LabelMe'),
    ('{"shapes": [{"points": [[1, 2]]}]}', '"label" and "points"'),
    ('{"shapes": [{"label": "a", "shape_type": "line", "points": [[1, 2], [3, 4]]}]}',
     "type 'line'"),
    ('{"images": [{}], "annotations": [], "categories": []}', 'no instances file'),
])
def test_damaged_json(scene, tmp_path, content, message):
    (tmp_path / 'd.json').write_text(content)
    with pytest.raises(ValueError, match=f'd.json.*{message}'):
        read_support(scene[2], tmp_path / 'd.json')


@pytest.mark.parametrize('hint', [
    dict(box=(12, 7, 38, 33)),
    dict(point=(25, 20)),
    dict(scribble=[(20, 15), (30, 25)]),
    dict(scribble=[[(20, 15)], [(30, 25), (30, 15)]]),
    dict(point=[25, 20], background=[(50, 5), (50, 14)]),
])
def test_hints(scene, hint):
    image, red, _ = scene
    mask = SupportAnnotation(hint).mask(image)
    assert mask.dtype == bool and iou(mask, red) > 0.95


def test_hints_as_images(scene, tmp_path):
    image, red, photo = scene
    strokes = np.zeros((40, 60), np.uint8)
    strokes[20, 18:32] = 1
    Image.fromarray(strokes).save(tmp_path / 's.png')
    for source in (strokes, tmp_path / 's.png'):
        assert iou(read_support(photo, dict(scribble=source))['gt_seg_map'] == 1,
                   red) > 0.95
    with pytest.raises(ValueError, match='60 x 40.*it is 60 x 39'):
        read_support(photo, dict(scribble=strokes[1:]))
    with pytest.raises(ValueError, match='all black'):
        read_support(photo, dict(scribble=strokes * 0))


def test_background_strokes_count(scene):
    image, red, _ = scene
    image = image.copy()
    image[5:15, 45:55] = (20, 20, 220)  # two red ones
    both = SupportAnnotation(dict(scribble=[[(25, 20)], [(50, 10)]])).mask(image)
    assert both[10, 50] and both[20, 25]
    mask = SupportAnnotation(dict(
        box=(5, 1, 58, 35), background=[(46, 6), (54, 6), (46, 10), (54, 14)])
    ).mask(image)
    assert iou(mask, red) > 0.5 and not mask[6, 46:54].any()


def test_hints_on_photos(photo):
    """Real photos; the same mask each time, whatever the random state."""
    with Image.open(photo('teapot/01', 'masks')) as opened:
        truth = np.array(opened.convert('L')) > 0
    x, y, width, height = cv2.boundingRect(truth.astype(np.uint8))
    box = dict(box=(x, y, x + width, y + height))
    found = []
    for seed in range(2):
        cv2.setRNGSeed(seed)
        found.append(read_support(photo('teapot/01'), box)['gt_seg_map'] == 1)
    assert iou(found[0], truth) > 0.8 and np.array_equal(*found)
    with Image.open(photo('teapot/01')) as opened:
        large = opened.resize((1600, 1600))
    mask = read_support(large, dict(box=[4 * side for side in box['box']]))
    assert mask['gt_seg_map'].shape == (1600, 1600)
    assert iou(mask['gt_seg_map'][2::4, 2::4] == 1, truth) > 0.8


@pytest.mark.parametrize('hint, message', [
    (dict(box=(10, 5, 61, 20)), 'not inside the photo, 60 x 40'),
    (dict(box=(20, 5, 10, 20)), 'x1 < x2'),
    (dict(box=(1, 2, 3)), r'must be \(x1, y1, x2, y2\)'),
    (dict(box=(1, 2, 3, float('nan'))), 'must be'),
    (dict(box=(0, 0, 60, 40)), 'the whole photo'),
    (dict(box=(40, 20, 58, 38)), 'GrabCut finds no object.*background strokes'),
    (dict(point=(60, 3)), r'\(60, 3\), which is not inside the photo'),
    (dict(point='here'), r'must be \(x, y\)|no image|cannot be read'),
    (dict(scribble=[]), 'list of points'),
    (dict(scribble=[(3, 4), (3, -1)]), r'scribble has \(3, -1\)'),
    (dict(box=(1, 2, 3, 4), point=(1, 2)), 'has one of'),
    (dict(boxes=(1, 2, 3, 4)), 'not boxes'),
])
def test_bad_hints(hint, message):
    plain = np.full((40, 60, 3), 90, np.uint8)
    with pytest.raises(ValueError, match=message):
        read_support(plain, hint)


def test_coordinates_are_those_of_the_display(scene, tmp_path):
    image, red, photo = scene
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to display, turn clockwise
    with Image.open(photo) as opened:
        opened.transpose(Image.Transpose.ROTATE_90).save(
            tmp_path / 'turned.png', exif=exif)
    shapes = [('cup', 'rectangle', [[15, 10], [34, 29]], {})]
    for annotation in (dict(box=(12, 7, 38, 33)),
                       labelme(tmp_path / 'l.json', shapes)):
        support = read_support(tmp_path / 'turned.png', annotation)
        assert np.array_equal(support['img'], image)
        assert iou(support['gt_seg_map'] == 1, red) > 0.95
    stored = labelme(tmp_path / 'stored.json', shapes, (40, 60))
    with pytest.raises(ValueError, match='fits it as stored: turn'):
        read_support(tmp_path / 'turned.png', stored)


def test_fit(inferencer, scene, tmp_path):
    image, red, photo = scene
    drawn = masks(inferencer.fit(photo, red)(photo, presence_thr=0))
    path = labelme(tmp_path / 'a.json', [('x', 'rectangle', [[15, 10], [34, 29]], {})])
    assert same(drawn, masks(inferencer.fit(photo, path)(photo, presence_thr=0)))
    inferencer.fit([photo, image], [dict(box=(12, 7, 38, 33)), dict(point=(25, 20))])
    with pytest.raises(ValueError, match="class 'object': .*with box.*inside"):
        inferencer.fit(photo, dict(box=(0, 0, 99, 9)))
