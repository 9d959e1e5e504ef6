"""Wrong data gives one message that names the file and the remedy."""
import numpy as np
import pytest
from PIL import Image

from mmfss.datasets import (
    COCO2PASCALDataset,
    COCO20iDataset,
    FolderDataset,
    FSS1000Dataset,
    PASCAL5iDataset,
    episodic_dataset,
)
from tests.conftest import pipeline, write_coco_lists, write_pair


def pascal(root, **kwargs):
    return PASCAL5iDataset(
        data_root=str(root),
        split_dir=str(root / 'splits'),
        test_mode=True,
        pipeline=pipeline(32),
        **kwargs)


def coco(root, **kwargs):
    return COCO20iDataset(
        data_root=str(root),
        split_dir=str(root / 'splits'),
        test_mode=True,
        pipeline=pipeline(32),
        **kwargs)


def fss(root, **kwargs):
    return FSS1000Dataset(
        data_root=str(root),
        split_dir=str(root / 'splits'),
        test_mode=True,
        pipeline=pipeline(30),
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


def test_line_twice(tiny_voc):
    path = tiny_voc / 'splits' / 'val' / 'fold0.txt'
    path.write_text('2007_001000__01\n2007_001001__01\n2007_001000__01\n')
    with pytest.raises(ValueError, match='fold0.txt:3.*at line 1 already'):
        pascal(tiny_voc)


def test_class_with_one_image(tiny_voc):
    path = tiny_voc / 'splits' / 'val' / 'fold0.txt'
    path.write_text('2007_001000__01\n2007_002000__02\n2007_002001__02\n')
    with pytest.raises(ValueError, match="at least 2 images.*'aeroplane': 1"):
        pascal(tiny_voc)


def test_more_shots_than_images(tiny_voc):
    assert len(pascal(tiny_voc, shot=9)[0]['data_samples'].supports) == 9


def test_large_benchmarks_open_some_files_and_look_up_all(tiny_voc, monkeypatch):
    monkeypatch.setattr(episodic_dataset, 'MAX_HEADERS', 4)
    write_pair(tiny_voc, '2007_001001', 1, np.random.RandomState(0), (20, 40))
    mask = tiny_voc / 'SegmentationClassAug' / '2007_001001.png'
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(mask)
    dataset = pascal(tiny_voc)  # opens the 1st, 5th, ...
    assert dataset.get_episode(1).query == '2007_001001'
    with pytest.raises(RuntimeError, match=r'2007_001001.png.*size \(5, 6\)'):
        dataset[1]
    mask.unlink()
    with pytest.raises(FileNotFoundError, match='2007_001001.png'):
        pascal(tiny_voc)


def test_link_to_nowhere(tiny_voc):
    path = tiny_voc / 'JPEGImages' / '2007_001000.jpg'
    path.unlink()
    path.symlink_to('nowhere.jpg')
    with pytest.raises(ValueError, match='2007_001000.jpg.*not a readable image'):
        pascal(tiny_voc)


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
    dict(fold=4), dict(shot=0), dict(num_episodes=0), dict(shot=1.5),
    dict(seed=-1), dict(seed='0')
])
def test_bad_argument(tiny_voc, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        pascal(tiny_voc, **kwargs)


def test_folder_without_the_class(objects30):
    with pytest.raises(ValueError, match="'teapots'.*teapot"):
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


def test_half_prepared_coco(tiny_coco):
    folder = tiny_coco / 'annotations' / 'val2014'
    folder.rename(tiny_coco / 'elsewhere')
    with pytest.raises(
            FileNotFoundError,
            match='class 76.*no mask .*annotations/val2014/COCO_.*Complete'):
        coco(tiny_coco)


def test_coco_list_names_an_absent_image(tiny_coco):
    write_coco_lists(tiny_coco, dict(val2014={str(c): [9, 7] for c in range(80)}))
    with pytest.raises(
            FileNotFoundError,
            match='coco20i.json.gz.*COCO_val2014_000000000007.jpg.*no image'):
        coco(tiny_coco)


@pytest.mark.parametrize('lists, message', [
    (dict(train2014={}), "KeyError.*'val2014'.*Replace"),
    (dict(val2014=[]), 'AttributeError'),
    (dict(val2014=dict(cat=[1, 2])), "'cat'"),
    (dict(val2014={str(c): [9, 30] for c in range(81)}), 'classes 0 to 79'),
    (dict(val2014={str(c): [] for c in range(80)}), 'a list of image ids'),
    (dict(val2014={str(c): ['9', '30'] for c in range(80)}), 'integers'),
    (dict(val2014={str(c): [9, 30, 9] for c in range(80)}), 'class 0.*twice'),
])
def test_bad_coco_lists(lists, message, tiny_coco):
    write_coco_lists(tiny_coco, lists)
    with pytest.raises(ValueError, match=f'coco20i.json.gz.*{message}'):
        coco(tiny_coco)


def test_coco_list_cut_off(tiny_coco):
    path = tiny_coco / 'splits' / 'coco20i.json.gz'
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match='coco20i.json.gz cannot be read.*Replace'):
        coco(tiny_coco)


def test_no_coco_list(tiny_coco):
    (tiny_coco / 'splits' / 'coco20i.json.gz').unlink()
    with pytest.raises(FileNotFoundError, match='no list.*split_dir must hold'):
        coco(tiny_coco)


@pytest.mark.parametrize('array, message', [
    (np.full((40, 50), 81, np.uint8), r'unknown values \[81\]'),
    (np.zeros((40, 50, 3), np.uint8), 'palette or 8-bit grey'),
    (np.zeros((40, 50), np.uint16), '8-bit grey'),
], ids=['value 81', 'RGB', '16-bit'])
def test_bad_coco_mask(array, message, tiny_coco):
    for path in (tiny_coco / 'annotations' / 'val2014').iterdir():
        Image.fromarray(array).save(path)
    with pytest.raises(RuntimeError, match=rf'COCO_val2014_.*\.png: .*{message}'):
        coco(tiny_coco)[0]


@pytest.mark.parametrize('array', [
    np.eye(30, dtype=np.uint8), np.eye(30, dtype=bool),
    np.eye(30, dtype=np.uint16) * 65535
], ids=['0/1', '1-bit', '16-bit'])
def test_bad_fss_mask(array, tiny_fss):
    path = tiny_fss / "abe's_flyingfish" / '1.png'
    Image.fromarray(array).save(path)
    with pytest.raises(RuntimeError, match=r'fish/1.png: .*8-bit.*from 128 on'):
        fss(tiny_fss)[0]


def test_fss_without_a_class(tiny_fss):
    path = tiny_fss / 'splits' / 'test.txt'
    path.write_text('hotel_slipper\nhotel_sliper\n')
    with pytest.raises(
            FileNotFoundError,
            match="test.txt:2 names 'hotel_sliper/1'.*no image.*Complete"):
        fss(tiny_fss)


def test_fss_class_in_two_parts(tiny_fss):
    path = tiny_fss / 'splits' / 'val.txt'
    path.write_text('bus\n')
    with pytest.raises(ValueError, match="val.txt:1: class 'bus'.*trn.txt:2"):
        fss(tiny_fss)


def test_fss_without_a_list(tiny_fss):
    (tiny_fss / 'splits' / 'val.txt').unlink()
    with pytest.raises(FileNotFoundError, match='val.txt.*split_dir must hold'):
        fss(tiny_fss)


def test_bad_benchmark_argument(tiny_coco, tiny_fss, tiny_voc):
    with pytest.raises(ValueError, match='fold must be 0, 1, 2 or 3, not 4'):
        coco(tiny_coco, fold=4)
    with pytest.raises(ValueError, match="split must be one of.*not 'train'"):
        fss(tiny_fss, split='train')
    with pytest.raises(ValueError, match='testing only.*COCO20iDataset'):
        COCO2PASCALDataset(data_root=str(tiny_voc))
