"""What may be given as an image or a mask, and what is said of the rest."""
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from mmfss.datasets.annotations.image_files import foreground
from tests.test_apis.test_few_shot_inferencer import masks, same

ORIENTATION = 0x0112


def test_modes(teapot, photo, tmp_path):
    """Grey, palette, transparent and CMYK images work; 16-bit ones can't."""
    with Image.open(photo('teapot/01')) as image:
        rgb = image.resize((60, 50))
    grey = rgb.convert('L')
    expected, = masks(teapot(grey.convert('RGB'), presence_thr=0))
    for kind in ('L', 'LA', 'RGBA', 'P'):
        path = tmp_path / f'{kind}.png'
        converted = grey.convert(kind)
        if kind == 'RGBA':
            converted.putalpha(0)
        converted.save(path)
        assert same(masks(teapot(path, presence_thr=0)), [expected])
    assert same(masks(teapot(np.array(grey), presence_thr=0)), [expected])
    assert same(masks(teapot(np.array(grey)[..., None], presence_thr=0)), [expected])
    bgra = np.array(grey.convert('RGBA'))
    assert same(masks(teapot(bgra, presence_thr=0)), [expected])
    rgb.convert('CMYK').save(tmp_path / 'cmyk.jpg')
    assert masks(teapot(tmp_path / 'cmyk.jpg'))[0].shape == (50, 60)
    Image.fromarray(np.full((50, 60), 40000, np.uint16)).save(tmp_path / '16.png')
    with pytest.raises(ValueError, match='16.png has 16 or 32 bits'):
        teapot(tmp_path / '16.png')
    for name in ('16rgb.png', '16rgb.tif'):
        cv2.imwrite(str(tmp_path / name), np.full((50, 60, 3), 4000, np.uint16))
        with pytest.raises(ValueError, match=f'{name} has 16 bits per channel'):
            teapot(tmp_path / name)


@pytest.mark.parametrize('image, message', [
    (np.zeros((5, 5, 3)), r'uint8, BGR .* float64 \(5, 5, 3\)'),
    (np.zeros((5, 5, 2), np.uint8), r'\(5, 5, 2\)'),
    (np.zeros((0, 5, 3), np.uint8), r'\(0, 5, 3\)'),
    (3, 'must be a path, a NumPy array or a PIL image, not int'),
    ('https.jpg', 'https.jpg cannot be read: No such file'),
])
def test_no_image(teapot, image, message):
    with pytest.raises(ValueError, match=message):
        teapot([image])


def test_which_array_failed(teapot):
    good, bad = np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3))
    result = teapot([good, bad])
    name = f'{int(result["predictions"][0]["name"]) + 1:08d}'
    assert result['failed'][0]['error'].startswith(f'{name}: an image array')


def test_masks_that_cannot_be_meant(inferencer, photo):
    image = photo('teapot/00')
    with Image.open(image) as opened:
        height, width = opened.height, opened.width
    empty = np.zeros((height, width), np.uint8)
    speck = empty.copy()
    speck[1, 1] = 1
    for mask, message in (
        (empty, 'the mask is empty'), (empty + 1, 'foreground everywhere'),
        (empty[:-1], rf'the mask is \({width}, {height - 1}\)'),
        (speck, 'so small that nothing of it is left'),
        (empty[0], r'must be \(H, W\)'),
        (photo('teapot/00', 'masks') + '.png', 'cannot be read')):
        with pytest.raises(ValueError, match=f"class 'object': .*{message}"):
            inferencer.fit(image, mask)
    assert not inferencer.classes


def test_masks_that_are_meant(inferencer, photo, tmp_path):
    with Image.open(photo('teapot/00', 'masks')) as opened:
        grey = np.array(opened.convert('L')) > 0
    colours = np.zeros((*grey.shape, 3), np.uint8)
    colours[grey] = 0, 0, 1
    transparent = np.dstack([colours, np.full_like(grey, 255, np.uint8)])
    Image.fromarray(colours).save(tmp_path / 'rgb.png')
    Image.fromarray(grey).save(tmp_path / 'bits.png')
    results = [
        masks(inferencer.fit(photo('teapot/00'), mask)(
            photo('teapot/01'), presence_thr=0))
        for mask in (photo('teapot/00', 'masks'), grey, grey * 7., grey * .5,
                     grey * -1, colours, transparent, tmp_path / 'rgb.png',
                     tmp_path / 'bits.png')
    ]
    assert all(same(results[0], other) for other in results[1:])


def test_orientation_is_that_of_the_display(inferencer, photo, tmp_path):
    """A photo stored lying with EXIF "turn it" equals the upright one."""
    with Image.open(photo('teapot/00')) as opened:
        image = opened.resize((80, 120))
    with Image.open(photo('teapot/00', 'masks')) as opened:
        mask = opened.resize((80, 120), Image.Resampling.NEAREST)
    expected = masks(inferencer.fit(image, mask)(image, presence_thr=0))
    turned, exif = tmp_path / 'turned.png', Image.Exif()
    exif[ORIENTATION] = 6  # to display, turn clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    lying = mask.transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / 'mask.png', exif=exif)
    with Image.open(turned) as opened:
        assert opened.size == (120, 80)
        for one in (turned, opened):
            for drawn in (mask, tmp_path / 'mask.png'):
                inferencer.fit(one, drawn)
                result = masks(inferencer(one, presence_thr=0))
                assert result[0].shape == (120, 80) and same(result, expected)
            with pytest.raises(ValueError, match='fits it as stored: turn'):
                inferencer.fit(one, lying)


def test_one_bad_file_does_not_lose_the_rest(teapot, photo, tmp_path, log):
    folder, out = tmp_path / 'folder', tmp_path / 'out'
    folder.mkdir()
    content = open(photo('teapot/01'), 'rb').read()
    (folder / 'a good.JPG').write_bytes(content)
    (folder / 'cut.jpg').write_bytes(content[:len(content) // 2])
    (folder / 'empty.jpg').touch()
    (folder / 'text.png').write_text('no image')
    (folder / 'z.jpg').write_bytes(content)
    (folder / '._z.jpg').write_text('of another system')
    (folder / 'notes.txt').write_text('no image either')
    (folder / 'inner').mkdir()
    result = teapot([str(folder), folder / 'gone.jpg'], out_dir=str(out))
    assert [os.path.basename(p['name']) for p in result['predictions']] == [
        'a good.JPG', 'z.jpg']
    errors = {os.path.basename(f['name']): f['error'] for f in result['failed']}
    assert errors.keys() == {'cut.jpg', 'empty.jpg', 'text.png', 'gone.jpg'}
    for file, message in (
        ('cut.jpg', 'truncated'), ('empty.jpg', 'empty (0 bytes)'),
        ('text.png', 'no image: of an unknown format'),
        ('gone.jpg', 'No such file')):
        assert message in errors[file] and str(folder / file) in errors[file]
    assert '4 of 6 images could not be segmented' in log[-1]
    assert all(error in log[-1] for error in errors.values())
    assert sorted(os.listdir(out / 'pred')) == ['a good.png', 'z.png']
    with pytest.raises(ValueError, match='No image could be segmented.*\n.*cut'):
        teapot(folder / 'cut.jpg')


def test_folders_and_patterns(teapot, photo, tmp_path, monkeypatch):
    folder = os.path.dirname(photo('teapot/01'))
    assert len(teapot(folder)['predictions']) == 5
    names = [p['name'] for p in teapot(f'{folder}/0[12].*')['predictions']]
    assert names == [f'{folder}/01.jpg', f'{folder}/02.jpg']
    odd = tmp_path / 'a[1].png'
    Image.new('RGB', (9, 9)).save(odd)
    assert len(teapot(str(odd))['predictions']) == 1
    with pytest.raises(ValueError, match='No file fits the pattern .*none'):
        teapot(f'{folder}/none*.jpg')
    (tmp_path / 'nothing').mkdir()
    with pytest.raises(ValueError, match='nothing holds no image'):
        teapot(tmp_path / 'nothing')
    with pytest.raises(ValueError, match='list is empty'):
        teapot([])

    def refuse(path):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'listdir', refuse)
    with pytest.raises(ValueError, match='Cannot read the folder .*: Permission'):
        teapot(folder)


def test_all_but_zero_and_nan_is_foreground():
    mask = np.array([[0, 0.25, 1, -1, np.nan, np.inf]], np.float32)
    assert foreground(mask).tolist() == [[0, 1, 1, 1, 0, 1]]
    assert foreground(np.array([[False, True]])).tolist() == [[0, 1]]
