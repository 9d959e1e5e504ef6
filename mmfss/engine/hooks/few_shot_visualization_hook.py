import os.path as osp
from typing import Optional, Sequence

from mmengine.dist import master_only
from mmengine.hooks import Hook

from mmfss.registry import HOOKS
from mmfss.structures import FewShotDataSample


@HOOKS.register_module()
class FewShotVisualizationHook(Hook):
    """Draws chosen episodes in validation and in test.

    One picture per episode: support(s) with mask | query with prediction |
    query with ground truth, with the class and the IoU, sent to the
    visualizer's backends. Of several processes, the first one draws its own.

    Args:
        draw (bool): Whether to draw at all. Defaults to True.
        interval (int): Draw every n-th episode of the list. Defaults to 100.
        episodes (Sequence[int], optional): Draw these instead.
        out_dir (str, optional): Write PNG files there instead of using the
            visualizer's backends.

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

    def after_val_iter(self,
                       runner,
                       batch_idx: int,
                       data_batch: Optional[dict] = None,
                       outputs: Sequence[FewShotDataSample] = ()) -> None:
        """Draw the chosen episodes of a validation batch."""
        # a run that only validates has no epoch
        epoch = 0 if isinstance(runner._train_loop, dict) else runner.epoch
        self._draw(runner, 'val', epoch, data_batch, outputs)

    def after_test_iter(self,
                        runner,
                        batch_idx: int,
                        data_batch: Optional[dict] = None,
                        outputs: Sequence[FewShotDataSample] = ()) -> None:
        """Draw the chosen episodes of a test batch."""
        self._draw(runner, 'test', 0, data_batch, outputs)

    @master_only
    def _draw(self, runner, mode: str, step: int, data_batch: dict,
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
            name = f'{mode}_{index:04d}_{sample.class_name}'
            runner.visualizer.add_datasample(
                name,
                _to_rgb(query),
                sample,
                supports=_to_rgb(supports),
                step=step,
                out_file=self.out_dir and osp.join(self.out_dir, f'{name}.png'))


def _to_rgb(images):
    """BGR tensors ``(..., 3, H, W)`` to RGB arrays ``(..., H, W, 3)``."""
    return images.flip(-3).movedim(-3, -1).cpu().numpy()
