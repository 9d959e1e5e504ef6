from typing import Iterator, Optional, Tuple

from mmengine.dataset import DefaultSampler

from mmfss.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpisodeSampler(DefaultSampler):
    """Hands out ``(epoch, n)``, so that each epoch draws new episodes.

    The epoch travels with the index because persistent workers never see an
    attribute that is set on the dataset later. mmengine's
    ``DistSamplerSeedHook`` sets the epoch, also after a resume. Shuffling is
    the dataset's: episode n of an epoch is the same on any number of ranks.

    Args:
        dataset (EpisodicDataset): The training dataset.
        seed (int, optional): Unused; the Runner passes it to every sampler.
        round_up (bool): Repeat the first episodes so that all ranks get
            equally many. Defaults to True.
    """

    def __init__(self,
                 dataset,
                 seed: Optional[int] = None,
                 round_up: bool = True) -> None:
        super().__init__(dataset, shuffle=False, seed=0, round_up=round_up)

    def __iter__(self) -> Iterator[Tuple[int, int]]:
        """Iterate this rank's part of the epoch."""
        return ((self.epoch, n) for n in super(EpisodeSampler, self).__iter__())
