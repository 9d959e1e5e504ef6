import os.path as osp
from typing import Dict, Optional, Sequence

import mmcv
import numpy as np
from mmengine.dist import gather_object
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from mmfss.registry import HOOKS
from mmfss.structures import FewShotDataSample
from mmfss.utils import file_name
from mmfss.visualization import to_rgb


@HOOKS.register_module()
class FewShotVisualizationHook(Hook):
    """Draws chosen episodes in validation and in test.

    One picture per episode: support(s) with mask | query with prediction |
    query with ground truth, with the class and the IoU, sent to the
    visualizer's backends when the evaluation is over.

    Args:
        draw (bool): Whether to draw at all. Defaults to True.
        interval (int): Draw every n-th episode of the list. Defaults to 100.
        episodes (Sequence[int], optional): Draw these instead.
        out_dir (str, optional): Write PNG files there at once, instead of
            using the visualizer's backends.

    Example:
        >>> default_hooks = dict(visualization=dict(
        ...     type='FewShotVisualizationHook', episodes=[3, 141, 592]))
    """

    def __init__(self,
                 draw: bool = True,
                 interval: int = 100,
                 episodes: Optional[Sequence[int]] = None,
                 out_dir: Optional[str] = None) -> None:
        self.draw = draw
        self.interval = interval
        self.episodes = episodes
        self.out_dir = out_dir
        self._pictures: Dict[str, np.ndarray] = {}

    def after_val_iter(self,
                       runner,
                       batch_idx: int,
                       data_batch: Optional[dict] = None,
                       outputs: Sequence[FewShotDataSample] = ()) -> None:
        """Draw the chosen episodes of a validation batch."""
        self._draw(runner, 'val', data_batch, outputs)

    def after_test_iter(self,
                        runner,
                        batch_idx: int,
                        data_batch: Optional[dict] = None,
                        outputs: Sequence[FewShotDataSample] = ()) -> None:
        """Draw the chosen episodes of a test batch."""
        self._draw(runner, 'test', data_batch, outputs)

    def after_val_epoch(self, runner, metrics: Optional[dict] = None) -> None:
        """Hand the pictures of all processes to the backends."""
        # a run that only validates has no epoch
        trains = not isinstance(runner._train_loop, dict) and runner._train_loop
        step = 0
        if trains:
            by_iter = isinstance(trains, IterBasedTrainLoop)
            step = runner.iter if by_iter else runner.epoch
        self._flush(runner, step)

    def after_test_epoch(self, runner, metrics: Optional[dict] = None) -> None:
        """Hand the pictures of all processes to the backends."""
        self._flush(runner, 0)

    def _draw(self, runner, mode: str, data_batch: dict,
              outputs: Sequence[FewShotDataSample]) -> None:
        if not self.draw:
            return
        inputs = data_batch['inputs']
        for query, supports, sample in zip(inputs['query'], inputs['support'],
                                           outputs):
            index = sample.sample_idx
            chosen = (
                index % self.interval == 0
                if self.episodes is None else index in self.episodes)
            if not chosen:
                continue
            picture = runner.visualizer.draw_episode(
                to_rgb(query), to_rgb(supports), sample)
            name = file_name(
                f'{mode}_{index:04d}_{sample.class_name}_{sample.shot}shot')
            if self.out_dir:
                path = osp.join(self.out_dir, f'{name}.png')
                mmcv.imwrite(picture[..., ::-1], osp.abspath(path))
            else:
                self._pictures[name] = picture

    def _flush(self, runner, step: int) -> None:
        gathered = gather_object(self._pictures) or []
        self._pictures = {}
        for pictures in gathered:
            for name, picture in pictures.items():
                runner.visualizer.add_image(name, picture, step)
