from typing import List, Sequence

from mmfss.registry import DATASETS

from .episodic_dataset import EpisodicDataset


@DATASETS.register_module()
class ConcatEpisodicDataset(EpisodicDataset):
    """Several datasets as one: train on the episodes of all, mixed.

    An episode's images are of one class and so of one dataset. Every entry is
    the query once per epoch, also where a dataset alone would draw otherwise.
    Classes of the same name stay apart; the later ones get a number.

    Args:
        datasets (Sequence[dict]): Configs of :class:`EpisodicDataset`, without
            ``pipeline`` and what else is said once, for all, in ``kwargs``.
        **kwargs: As of :class:`EpisodicDataset`: ``shot``, ``pipeline``,
            ``test_mode``, ....

    Raises:
        ValueError: ``datasets`` is empty.

    Example:
        >>> train_dataloader = dict(dataset=dict(
        ...     type='ConcatEpisodicDataset',
        ...     datasets=[dict(type='PASCAL5iDataset', fold=0),
        ...               dict(type='FolderDataset', data_root='my_data')],
        ...     pipeline=[]))
    """

    DATA_PREFIX = dict()  # each dataset has its own

    def __init__(self, datasets: Sequence[dict], **kwargs) -> None:
        if not datasets:
            raise ValueError('ConcatEpisodicDataset: datasets is empty.')
        self.datasets = datasets
        super().__init__(**kwargs)

    def load_data_list(self) -> List[dict]:
        """List the entries of all, with numbers and names that are unique."""
        entries, classes = [], []
        for number, cfg in enumerate(self.datasets):
            dataset = DATASETS.build(dict(cfg, test_mode=self.test_mode))
            own = dataset.metainfo['classes']
            entries += [{
                'class_name': own[entry['class_id']],
                'num_classes': len(own),
                **entry,
                'name': f'{number}/{entry["name"]}',
                'class_id': len(classes) + entry['class_id'],
            } for entry in dataset.data_list]
            classes += [
                f'{name} ({number + 1})' if name in classes else name for name in own
            ]
        self._metainfo['classes'] = classes
        return entries

    def check_files(self) -> None:
        """The datasets have done so, each as its masks need it."""
