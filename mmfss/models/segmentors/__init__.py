from .few_shot_segmentor import FewShotSegmentor
from .hsnet import HSNet
from .prototype_net import PrototypeNet

__all__ = ['FewShotSegmentor', 'HSNet', 'PrototypeNet']
