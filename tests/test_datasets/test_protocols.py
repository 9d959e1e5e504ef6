import numpy as np
import pytest
from PIL import Image

from mmfss.datasets import FolderDataset, PASCAL5iDataset
from mmfss.datasets.protocols import PROTOCOLS, Protocol
from tests.conftest import pipeline


def pascal(root, protocol, **kwargs):
    return PASCAL5iDataset(
        data_root=str(root),
        split_dir=str(root / 'splits'),
        test_mode=True,
        pipeline=pipeline(32),
        protocol=protocol,
        **kwargs)


def test_names():
    assert set(PROTOCOLS) >= {
        'hsnet', 'hsnet-unique-supports', 'original-size', 'pfenet-style',
        'multi-seed'
    }
    assert PROTOCOLS['hsnet'] == Protocol('hsnet')


def test_published_protocol_is_the_default(tiny_voc):
    default = PASCAL5iDataset(
        data_root=str(tiny_voc), split_dir=str(tiny_voc / 'splits'),
        test_mode=True)
    assert default.protocol.name == 'hsnet'
    assert default.episode_lists == pascal(tiny_voc, 'hsnet').episode_lists


def test_unique_supports(objects30):
    def repeats(protocol):
        dataset = FolderDataset(
            objects30, shot=3, test_mode=True, num_episodes=200, protocol=protocol)
        supports = [e.supports for e in dataset.episode_lists[0]]
        assert all(len(s) == 3 for s in supports)
        return sum(len(set(s)) < 3 for s in supports)

    assert repeats('hsnet') > 0
    assert repeats('hsnet-unique-supports') == 0


def test_unique_supports_need_enough_images(tiny_voc):
    assert pascal(tiny_voc, 'hsnet', shot=5)
    with pytest.raises(ValueError, match='at least 6 images.*different supports'):
        pascal(tiny_voc, 'hsnet-unique-supports', shot=5)


def test_several_seeds_are_lists_one_after_the_other(tiny_voc):
    several = pascal(tiny_voc, dict(name='two', seeds=(0, 7), num_episodes=20))
    assert len(several) == 40
    for seed in (0, 7):
        alone = pascal(tiny_voc, 'hsnet', seed=seed, num_episodes=20)
        assert several.episode_lists[seed] == alone.episode_lists[seed]
    assert several[3]['data_samples'].seed == 0
    assert several[23]['data_samples'].seed == 7


def test_arguments_win_over_the_protocol(tiny_voc):
    dataset = pascal(tiny_voc, 'pfenet-style', num_episodes=3, seed=4)
    assert list(dataset.episode_lists) == [4] and len(dataset) == 3
    assert len(pascal(tiny_voc, 'pfenet-style')) == 5000
    assert len(pascal(tiny_voc, 'hsnet')) == 1000


def test_the_usual_number_is_no_modification(tiny_voc):
    for kwargs in (dict(), dict(num_episodes=1000), dict(seed=0)):
        protocol = pascal(tiny_voc, 'hsnet', **kwargs).protocol
        assert (protocol.name, protocol.num_episodes) == ('hsnet', 1000)
    for kwargs in (dict(num_episodes=999), dict(seed=1)):
        assert pascal(tiny_voc, 'hsnet', **kwargs).protocol.name == (
            'hsnet (modified)')


def test_original_size(tiny_voc):
    item = pascal(tiny_voc, 'original-size')[0]
    assert item['inputs']['query'].shape == (3, 32, 32)
    sample = item['data_samples']
    assert sample.support_masks.shape == (1, 32, 32)
    mask = np.array(
        Image.open(tiny_voc / 'SegmentationClassAug' / f'{sample.query}.png'))
    label = sample.gt_sem_seg.data[0].numpy()
    assert (label == 255).tolist() == (mask == 255).tolist()
    assert (label == 1).tolist() == (mask == sample.class_id + 1).tolist()


def test_training_draws_as_published_whatever_the_protocol(tiny_voc):
    kwargs = dict(
        data_root=str(tiny_voc), split_dir=str(tiny_voc / 'splits'), shot=5)
    one = PASCAL5iDataset(protocol='hsnet', **kwargs)
    other = PASCAL5iDataset(protocol='hsnet-unique-supports', **kwargs)
    assert one.get_episode((1, 2)) == other.get_episode((1, 2))


@pytest.mark.parametrize('protocol, message', [
    ('hsnett', "no protocol 'hsnett'.*multi-seed"),
    (dict(seeds=(1, )), 'needs a name'),
    (dict(name='mine', seed=1), 'may have.*seeds'),
    (dict(name='hsnet', seeds=(1, )), 'taken'),
    (dict(name='mine', seeds=(1, 1)), 'distinct'),
    (dict(name='mine', seeds=()), 'distinct'),
    (dict(name='mine', seeds=3), r'seeds.*\(0, 1, 2\), not 3'),
    (dict(name='mine', seeds=(-1, )), 'from 0 on'),
    (dict(name='mine', num_episodes=0), 'num_episodes must be a positive'),
    (dict(name='mine', num_episodes=2.5), 'num_episodes must be a positive'),
    (dict(name='mine', unique_supports='no'), 'unique_supports must be True or'),
])
def test_bad_protocol(tiny_voc, protocol, message):
    with pytest.raises(ValueError, match=message):
        pascal(tiny_voc, protocol)
