"""Which activations of a known backbone make up the hypercorrelation."""
import re
from typing import Dict, List, Optional, Tuple

from torch import nn

# A star is a number. Convolutional: each block's output; where the block ends
# with a ReLU, as published, the sum before it.
_RESNET = ('layer*.*.relu:input', )
# Token backbones: the stream of features that runs through a transformer has a
# few channels of huge values, which would decide every cosine similarity. So
# each block's norm before its MLP (it sees the sum after the attention), and
# the norm of the backbone's output.
_VIT = ('layers.*.ln2', 'layers.*.norm2', 'ln1')
_TWINS = ('stages.*.*.norm2', 'layers.*.*.norm2')

#: Taps of a class of the zoo and of those that derive from it
PRESETS: Dict[str, Tuple[str, ...]] = {
    'ResNet': _RESNET,
    'Res2Net': _RESNET,
    'VGG': ('features.*.activate:input', ),
    'DenseNet': ('stages.*.block.*', ),  # what each layer adds
    'MobileNetV2': ('layer*.*', ),
    'MobileNetV3': ('layer*', ),
    'MobileOne': ('stage*.*', ),
    'MobileViT': ('layers.*.*', ),
    'EfficientNet': ('layers.*.*', ),
    'EfficientNetV2': ('layers.*.*', ),
    'ShuffleNetV1': ('layers.*.*', ),
    'ShuffleNetV2': ('layers.*.*', ),
    'RepVGG': ('stage_*.*', ),
    'CSPNet': ('stages.*.blocks.*', ),
    'HRNet': ('stage*.*.branches.*', ),
    'ConvNeXt': ('stages.*.*', ),
    'EdgeNeXt': ('stages.*.*', ),
    'HorNet': ('stages.*.*', ),
    'PoolFormer': ('network.*.*', ),
    'RIFormer': ('network.*.*', ),
    'RepLKNet': ('stages.*.blocks.*', ),
    'InceptionV3': tuple(f'Mixed_*{letter}' for letter in 'abcde'),
    'VAN': ('blocks*.*', ),
    'MSCAN': ('block*.*', ),
    'STDCNet': ('stages.*.*', ),
    'BiSeNetV1': ('context_path.backbone.layer*.*.relu:input', ),
    'BiSeNetV2': ('semantic.stage*.*', ),
    'Vig': ('blocks.*', ),
    'PyramidVig': ('stages.*.*', ),
    'EfficientFormer': ('network.*.*', ),
    'Conformer': ('conv_trans_*:0', ),  # the maps; the tokens mix with them
    'VisionTransformer': _VIT,
    'DeiT3': ('layers.*.ln1', 'ln1'),  # a layer uses its first norm twice
    'RevVisionTransformer': _VIT,
    'T2T_ViT': ('encoder.*.ln2', 'norm'),
    'TNT': ('layers.*.outer_block.norm_ffn', 'norm'),
    'BEiTViT': _VIT,
    'BEiT': _VIT,
    'ViTSAM': _VIT,
    'XCiT': ('xca_layers.*.norm2', ),
    'MixMIMTransformer': ('layers.*.blocks.*', 'norm'),
    'TinyViT': ('stages.*.blocks.*', ),
    'MViT': ('blocks.*.norm2', 'norm*'),
    'SwinTransformer': ('stages.*.blocks.*.norm2', 'norm*'),
    # its norms stand behind attention and MLP: the sums stay small
    'SwinTransformerV2': ('stages.*.blocks.*', 'norm*'),
    'PCPVT': _TWINS,
    'MixVisionTransformer': ('layers.*.1.*.norm2', 'layers.*.2'),
    'DaViT': ('stages.*.blocks.*', 'norm*'),
}


def preset_taps(backbone: nn.Module) -> Optional[List[str]]:
    """The taps of a backbone's family.

    Args:
        backbone (nn.Module): Any backbone.

    Returns:
        list[str] | None: Taps, not yet grouped in levels; None where the
        family has no preset.

    Raises:
        ValueError: It is a VGG without its last pooling.
    """
    for cls in type(backbone).__mro__:
        zoo = cls.__module__.split('.')[0] in ('mmpretrain', 'mmseg')
        if zoo and cls.__name__ in PRESETS:
            taps = [
                tap for pattern in PRESETS[cls.__name__]
                for tap in _expand(backbone, pattern)
            ]
            if cls.__name__ == 'VGG':
                taps = _vgg(backbone, taps)
            return taps or None
    return None


def _expand(backbone: nn.Module, pattern: str) -> List[str]:
    path, colon, what = pattern.partition(':')
    path = re.compile(re.escape(path).replace(r'\*', r'\d+'))
    return [
        name + colon + what for name, module in backbone.named_modules()
        if path.fullmatch(name) and not isinstance(module, nn.Identity)
    ]


def _vgg(backbone: nn.Module, taps: List[str]) -> List[str]:
    """The last pooling; all convolutions before their ReLU."""
    last = backbone.range_sub_modules[-1][1] - 1
    if not isinstance(backbone.features[last], nn.MaxPool2d):
        raise ValueError(
            'The preset of taps for VGG starts from the last pooling: leave '
            'model.backbone.with_last_pool as it is, or write model.taps out.')
    return [*taps, f'features.{last}']
