import copy
from typing import Dict, List, Sequence, Union

from mmengine.evaluator import Evaluator
from mmengine.runner import ValLoop
from torch.utils.data import DataLoader

from mmfss.registry import LOOPS


@LOOPS.register_module()
class MultiShotValLoop(ValLoop):
    """Validates with several numbers of supports, one after the other.

    Every figure is reported once per number, e.g. ``mIoU_1shot`` and
    ``mIoU_5shot``; the best checkpoint can be kept by either. For several seeds,
    give the dataset a protocol that has them.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Config of the dataloader; its ``dataset.shot`` is
            replaced by each of ``shots``.
        evaluator (Evaluator | dict | list): As of mmengine's ``ValLoop``.
        shots (Sequence[int]): Numbers of supports. Defaults to (1, 5).
        fp16 (bool): As of mmengine's ``ValLoop``. Defaults to False.

    Raises:
        ValueError: ``shots`` is empty.

    Example:
        >>> val_cfg = dict(type='MultiShotValLoop', shots=(1, 5))
        >>> default_hooks = dict(checkpoint=dict(
        ...     type='SafeCheckpointHook', save_best='mIoU_1shot', rule='greater'))
    """

    def __init__(self,
                 runner,
                 dataloader: Dict,
                 evaluator: Union[Evaluator, Dict, List],
                 shots: Sequence[int] = (1, 5),
                 fp16: bool = False) -> None:
        if not shots:
            raise ValueError('val_cfg.shots of MultiShotValLoop is empty; name at '
                             'least one number of supports.')
        self.dataloaders: Dict[int, DataLoader] = {}
        for shot in shots:
            cfg = copy.deepcopy(dataloader)
            cfg['dataset']['shot'] = shot
            self.dataloaders[shot] = runner.build_dataloader(
                cfg, seed=runner.seed)
        super().__init__(runner, self.dataloaders[shots[0]], evaluator, fp16)

    def run(self) -> dict:
        """Launch validation.

        Returns:
            dict[str, float]: The figures of every number of supports.
        """
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        figures = {}
        for shot, dataloader in self.dataloaders.items():
            self.dataloader = dataloader  # which the hooks look at
            for idx, data_batch in enumerate(dataloader):
                self.run_iter(idx, data_batch)
            metrics = self.evaluator.evaluate(len(dataloader.dataset))
            figures.update({f'{k}_{shot}shot': v for k, v in metrics.items()})
        self.runner.call_hook('after_val_epoch', metrics=figures)
        self.runner.call_hook('after_val')
        return figures
