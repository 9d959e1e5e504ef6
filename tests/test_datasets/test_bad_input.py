"""Wrong data gives one message that names the file and the remedy."""
import numpy as np
import pytest
from PIL import Image

from mmfss.datasets import FolderDataset, PASCAL5iDataset
from tests.conftest import pipeline, write_pair


def pascal(root, **kwargs):
    return PASCAL5iDataset(
        data_root=str(root),
        split_dir=str(root / 'splits'),
        test_mode=True,
        pipeline=pipeline(32),
        **kwargs)


def save_mask(root, array, **kwargs):
    path = root / 'SegmentationClassAug' / '2007_001000.png'
    Image.fromarray(array).save(path, **kwargs)
    return path


def test_missing_data_root(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.*data_root'):
        PASCAL5iDataset(data_root=str(tmp_path / 'nowhere'))


def test_missing_split_dir(tiny_voc):
    with pytest.raises(FileNotFoundError, match='nowhere/val/fold0.txt'):
        PASCAL5iDataset(
            data_root=str(tiny_voc), split_dir='nowhere', test_mode=True)


def test_list_names_an_absent_image(tiny_voc):
    (tiny_voc / 'JPEGImages' / '2007_001000.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='fold0.txt:1 names.*no image'):
        pascal(tiny_voc)


def test_absent_mask(tiny_voc):
    (tiny_voc / 'SegmentationClassAug' / '2007_001001.png').unlink()
    with pytest.raises(FileNotFoundError, match='fold0.txt:2 names.*no mask'):
        pascal(tiny_voc)


@pytest.mark.parametrize('length', [0, 20, 300])
def test_broken_header(tiny_voc, length):
    path = tiny_voc / 'JPEGImages' / '2007_001000.jpg'
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match='2007_001000.jpg.*not a readable'):
        pascal(tiny_voc)


@pytest.mark.parametrize('line', ['2007_001000', '2007_001000__06',
                                  '2007_001000__cat', '__01'])
def test_bad_line(tiny_voc, line):
    path = tiny_voc / 'splits' / 'val' / 'fold0.txt'
    path.write_text(f'2007_001000__01\n{line}\n')
    with pytest.raises(ValueError, match='fold0.txt:2.*name__class'):
        pascal(tiny_voc)


def test_class_with_one_image(tiny_voc):
    path = tiny_voc / 'splits' / 'val' / 'fold0.txt'
    path.write_text('2007_001000__01\n2007_002000__02\n2007_002001__02\n')
    with pytest.raises(ValueError, match="at least 2 images.*'aeroplane': 1"):
        pascal(tiny_voc)


def test_more_shots_than_images(tiny_voc):
    assert len(pascal(tiny_voc, shot=9)[0]['data_samples'].supports) == 9


def test_mask_of_another_size(tiny_voc):
    save_mask(tiny_voc, np.zeros((5, 6), np.uint8))
    with pytest.raises(ValueError, match=r'2007_001000.png is \(6, 5\).*50, 40'):
        pascal(tiny_voc)


@pytest.mark.parametrize('value', [21, 137, 254])
def test_mask_with_unknown_values(tiny_voc, value):
    save_mask(tiny_voc, np.full((40, 50), value, np.uint8))
    with pytest.raises(
            RuntimeError, match=rf'2007_001000.png.*unknown values \[{value}\]'):
        pascal(tiny_voc)[0]


def test_mask_in_colour(tiny_voc):
    save_mask(tiny_voc, np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(RuntimeError, match='2007_001000.png.*palette'):
        pascal(tiny_voc)[0]


def test_truncated_jpeg_names_the_file(tiny_voc):
    path = tiny_voc / 'JPEGImages' / '2007_001000.jpg'
    path.write_bytes(path.read_bytes()[:-200])
    dataset = pascal(tiny_voc)  # the header is whole
    with pytest.raises(RuntimeError, match='2007_001000.jpg.*truncated'):
        dataset[0]


@pytest.mark.parametrize('kwargs', [
    dict(fold=4), dict(shot=0), dict(num_episodes=0), dict(shot=1.5)
])
def test_bad_argument(tiny_voc, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        pascal(tiny_voc, **kwargs)


def test_folder_without_the_class(objects30):
    with pytest.raises(FileNotFoundError, match="'teapots'.*teapot"):
        FolderDataset(objects30, metainfo=dict(classes=['teapots']))


def test_two_photos_for_one_mask(tmp_path):
    (tmp_path / 'images' / 'cup').mkdir(parents=True)
    for name in ('1.jpg', '1.png'):
        (tmp_path / 'images' / 'cup' / name).touch()
    with pytest.raises(ValueError, match='1.jpg and 1.png.*share a mask'):
        FolderDataset(str(tmp_path))


def test_sizes_differ_within_support_set(tiny_voc):
    write_pair(tiny_voc, '2007_001001', 1, np.random.RandomState(0), (20, 40))
    dataset = pascal(tiny_voc, shot=8)
    dataset.pipeline.transforms[0].transforms.transforms.pop()  # no resize
    with pytest.raises(ValueError, match='different sizes'):
        dataset[0]
