import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import IterBasedTrainLoop
from mmengine.structures import PixelData
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmfss.engine.hooks import FewShotVisualizationHook
from mmfss.structures import FewShotDataSample
from mmfss.visualization import FewShotVisualizer


def batch(indices, shot):
    samples = []
    for index in indices:
        sample = FewShotDataSample(
            metainfo=dict(
                sample_idx=index, class_name='teapot', ori_shape=(30, 60),
                support_ori_shapes=[(40, 20)] * shot))
        sample.support_masks = torch.ones(shot, 32, 32, dtype=torch.uint8)
        mask = torch.zeros(1, 32, 32, dtype=torch.int64)
        mask[:, :16] = 1
        sample.pred_sem_seg = PixelData(data=mask)
        sample.gt_sem_seg = PixelData(data=mask.clone())
        samples.append(sample)
    inputs = dict(
        query=[torch.zeros(3, 32, 32, dtype=torch.uint8)] * len(indices),
        support=[torch.zeros(shot, 3, 32, 32, dtype=torch.uint8)] * len(indices))
    return dict(inputs=inputs), samples


@pytest.fixture
def runner(tmp_path):
    visualizer = FewShotVisualizer(
        vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))
    return SimpleNamespace(
        visualizer=visualizer, _train_loop=SimpleNamespace(), epoch=3)


@pytest.mark.parametrize('kwargs, drawn', [
    (dict(interval=2), [0, 2, 4]),
    (dict(episodes=[1, 4]), [1, 4]),
    (dict(draw=False, interval=1), []),
])
def test_chosen_episodes_are_drawn_whatever_the_batch(runner, tmp_path, kwargs,
                                                      drawn):
    hook = FewShotVisualizationHook(**kwargs)
    for indices in ([0, 1, 2], [3, 4]):
        hook.after_val_iter(runner, 0, *batch(indices, 1))
    hook.after_val_epoch(runner)
    files = sorted(p.name for p in tmp_path.rglob('*.png'))
    assert files == [f'val_{i:04d}_teapot_1shot_3.png' for i in drawn]


def test_by_iterations_a_validation_is_named_after_them(runner, tmp_path):
    runner._train_loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    hook = FewShotVisualizationHook(interval=1)
    for runner.iter in (20, 40):
        hook.after_val_iter(runner, 0, *batch([0], 1))
        hook.after_val_epoch(runner)
    files = sorted(p.name for p in tmp_path.rglob('*.png'))
    assert files == [f'val_0000_teapot_1shot_{i}.png' for i in (20, 40)]


def test_panels_have_the_photos_aspects(runner, tmp_path):
    hook = FewShotVisualizationHook(interval=1, out_dir=str(tmp_path / 'out'))
    data, outputs = batch([7], shot=5)
    hook.after_test_iter(runner, 0, data, outputs)
    picture = Image.open(tmp_path / 'out' / 'test_0007_teapot_5shot.png')
    # five supports half as wide as high, two queries twice as wide
    assert picture.size == (5 * (120 + 4) + 2 * (480 + 4), 240 + 22)


@pytest.mark.parametrize('out_dir', [None, 'out'])
def test_a_class_with_a_slash_in_its_name(runner, tmp_path, out_dir):
    hook = FewShotVisualizationHook(
        interval=1, out_dir=out_dir and str(tmp_path / out_dir))
    data, outputs = batch([7], shot=1)
    outputs[0].set_metainfo(dict(class_name='cup/mug'))
    hook.after_test_iter(runner, 0, data, outputs)
    hook.after_test_epoch(runner)
    file, = tmp_path.rglob('*.png')
    assert file.name.startswith('test_0007_cup_mug_1shot')


def test_tensorboard_gets_the_pictures(tmp_path):
    visualizer = FewShotVisualizer(
        vis_backends=[dict(type='TensorboardVisBackend')], save_dir=str(tmp_path))
    runner = SimpleNamespace(
        visualizer=visualizer, _train_loop=SimpleNamespace(), epoch=3)
    hook = FewShotVisualizationHook(interval=1)
    hook.after_val_iter(runner, 0, *batch([7], 1))
    hook.after_val_epoch(runner)
    visualizer.close()
    events = EventAccumulator(str(tmp_path / 'vis_data'), dict(images=0)).Reload()
    image, = events.Images('val_0007_teapot_1shot')
    assert image.step == 3 and image.height == 262


def test_long_titles_fit(runner):
    _, (sample, ) = batch([0], shot=1)
    sample.set_metainfo(dict(class_name='a rather long name of a class'))
    images = torch.zeros(32, 32, 3, dtype=torch.uint8).numpy()
    picture = runner.visualizer.draw_episode(images, [images], sample)
    assert picture.shape[1] > (120 + 4) + 2 * (480 + 4)


def test_boundary_is_left_out_of_the_iou(runner):
    data, (sample, ) = batch([0], shot=1)
    images = torch.zeros(32, 32, 3, dtype=torch.uint8).numpy()
    whole = runner.visualizer.draw_episode(images, [images], sample)
    other = copy.deepcopy(sample)
    other.gt_sem_seg.data[:, 16:] = 255
    other.pred_sem_seg.data[:] = 1
    with_boundary = runner.visualizer.draw_episode(images, [images], other)
    title = (slice(0, 18), slice(124, 360))  # the prediction's, 'IoU 100.0'
    assert (whole[title] == with_boundary[title]).all()
    other.gt_sem_seg.data[:, 16:] = 0
    worse = runner.visualizer.draw_episode(images, [images], other)
    assert (whole[title] != worse[title]).any()


def test_class_names_need_not_be_latin():
    image, mask = np.zeros((200, 300, 3), np.uint8), np.ones((200, 300), np.uint8)
    pictures = [
        FewShotVisualizer().draw_classes(image, mask, [name], [(255, 0, 0)])
        for name in ('кот', 'пес', 'γάτα', 'σκύλ')
    ]
    pictures = {picture.tobytes() for picture in pictures}
    assert len(pictures) == 4  # not the same boxes in place of letters
