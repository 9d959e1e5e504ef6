from .few_shot_segmentor import FewShotSegmentor
from .hsnet import HSNet

__all__ = ['FewShotSegmentor', 'HSNet']
