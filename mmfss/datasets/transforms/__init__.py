from .for_each_image import ForEachImage
from .load_few_shot_mask import LoadFewShotMask
from .pack_few_shot_inputs import PackFewShotInputs
from .resize_few_shot import ResizeFewShot

__all__ = [
    'ForEachImage', 'LoadFewShotMask', 'PackFewShotInputs', 'ResizeFewShot'
]
