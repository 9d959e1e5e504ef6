"""Which backbones of the installed zoo work, and with which levels.

    python tools/analysis_tools/list_backbones.py [NAME ...] [--measure]

Builds every registered backbone of mmpretrain and mmseg (or those named, e.g.
mmpretrain.ConvNeXt) in a small form, runs it and prints a Markdown table.
"""
import argparse
import json
import time
import warnings
from typing import Dict, List

import torch
from get_flops import count_multiply_adds, count_parameters
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS as MMPRETRAIN
from mmseg.registry import MODELS as MMSEG
from prettytable import PrettyTable, TableStyle

from mmfss.models import FeatureTaps
from mmfss.models.backbones import preset_taps
from mmfss.registry import MODELS
from mmfss.structures import FewShotDataSample

_BN = dict(type='BN')  # mmseg's defaults need several GPUs: SyncBN
_STDC = dict(
    stdc_type='STDCNet1',
    in_channels=3,
    channels=(32, 64, 256, 512, 1024),
    bottleneck_type='cat',
    num_convs=4,
    norm_cfg=_BN,
    act_cfg=dict(type='ReLU'))
_WIDTHS = (18, 36, 72, 144)  # HRNet's


def _hr_stage(modules: int, branches: int, blocks: int = 4, **kwargs) -> dict:
    stage = dict(
        num_modules=modules,
        num_branches=branches,
        block='BASIC',
        num_blocks=(blocks, ) * branches,
        num_channels=_WIDTHS[:branches])
    return dict(stage, **kwargs)


#: Arguments of a small member of the family, where the defaults are none
ARGS = {
    'mmpretrain.BEiTViT': dict(arch='deit-tiny'),
    'mmpretrain.CSPDarkNet': dict(depth=53),
    'mmpretrain.CSPResNeXt': dict(depth=50),
    'mmpretrain.CSPResNet': dict(depth=50),
    'mmpretrain.ConvMixer': dict(arch=dict(
        embed_dims=256, depth=8, patch_size=7, kernel_size=5)),
    'mmpretrain.ConvNeXt': dict(arch='atto'),
    'mmpretrain.DeiT3': dict(arch='small'),
    'mmpretrain.DistilledVisionTransformer': dict(arch='deit-tiny'),
    'mmpretrain.EfficientFormer': dict(reshape_last_feat=True),
    'mmpretrain.HRNet': dict(arch='w18'),
    'mmpretrain.HiViT': dict(arch='tiny'),
    'mmpretrain.LeViT': dict(arch='128s'),
    'mmpretrain.MViT': dict(arch='tiny'),
    'mmpretrain.MixMIMTransformer': dict(arch=dict(
        embed_dims=32, depths=[2, 2, 4, 2], num_heads=[1, 2, 4, 8])),
    'mmpretrain.MlpMixer': dict(arch='small'),
    'mmpretrain.MobileOne': dict(arch='s0'),
    'mmpretrain.MobileViT': dict(arch='xx_small'),
    'mmpretrain.PCPVT': dict(arch='small'),
    'mmpretrain.PyramidVig': dict(arch='tiny'),
    'mmpretrain.RegNet': dict(arch='regnetx_400mf'),
    'mmpretrain.RepLKNet': dict(arch=dict(
        large_kernel_sizes=[31, 29, 27, 13],
        layers=[2, 2, 2, 2],
        channels=[32, 64, 128, 256],
        small_kernel=5,
        dw_ratio=1)),
    'mmpretrain.RepMLPNet': dict(arch='base'),
    'mmpretrain.RepVGG': dict(arch='A0'),
    'mmpretrain.Res2Net': dict(depth=50),
    'mmpretrain.ResNeSt': dict(depth=50),
    'mmpretrain.ResNeXt': dict(depth=50),
    'mmpretrain.ResNet': dict(depth=18),
    'mmpretrain.ResNetV1c': dict(depth=18),
    'mmpretrain.ResNetV1d': dict(depth=18),
    'mmpretrain.ResNet_CIFAR': dict(depth=18),
    'mmpretrain.RevVisionTransformer': dict(arch='deit-tiny'),
    'mmpretrain.SEResNeXt': dict(depth=50),
    'mmpretrain.SEResNet': dict(depth=50),
    'mmpretrain.SVT': dict(arch='small'),
    'mmpretrain.SwinTransformer': dict(pad_small_map=True),
    'mmpretrain.SwinTransformerV2': dict(pad_small_map=True),
    'mmpretrain.TIMMBackbone': dict(model_name='resnet18', features_only=True),
    'mmpretrain.TNT': dict(arch='small'),
    'mmpretrain.VGG': dict(depth=11),
    'mmpretrain.ViTSAM': dict(arch=dict(
        embed_dims=192,
        num_layers=4,
        num_heads=3,
        feedforward_channels=768,
        global_attn_indexes=[3])),
    'mmpretrain.Vig': dict(arch='tiny'),
    'mmpretrain.VisionTransformer': dict(arch='deit-tiny'),
    'mmpretrain.XCiT': dict(
        embed_dims=192, num_heads=4, mlp_ratio=4., layer_scale_init_value=1.),
    'mmseg.BEiT': dict(embed_dims=192, num_heads=3, num_layers=4),
    'mmseg.BiSeNetV1': dict(
        backbone_cfg=dict(type='mmseg.ResNet', depth=18), norm_cfg=_BN),
    'mmseg.BiSeNetV2': dict(norm_cfg=_BN),
    'mmseg.CGNet': dict(norm_cfg=_BN),
    'mmseg.DDRNet': dict(norm_cfg=_BN),
    'mmseg.ERFNet': dict(norm_cfg=_BN),
    'mmseg.HRNet': dict(
        norm_cfg=_BN,
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4, ),
                num_channels=(64, )),
            stage2=_hr_stage(1, 2),
            stage3=_hr_stage(4, 3),
            stage4=_hr_stage(3, 4))),
    'mmseg.ICNet': dict(
        backbone_cfg=dict(type='mmseg.ResNetV1c', depth=50), norm_cfg=_BN),
    'mmseg.MAE': dict(embed_dims=192, num_heads=3, num_layers=4),
    'mmseg.MSCAN': dict(norm_cfg=_BN),
    'mmseg.MixVisionTransformer': dict(embed_dims=32, num_layers=[2, 2, 2, 2]),
    'mmseg.PIDNet': dict(norm_cfg=_BN),
    'mmseg.ResNeSt': dict(depth=50),
    'mmseg.ResNeXt': dict(depth=50),
    'mmseg.ResNet': dict(depth=18),
    'mmseg.ResNetV1c': dict(depth=18),
    'mmseg.ResNetV1d': dict(depth=18),
    'mmseg.STDCContextPathNet': dict(
        backbone_cfg=dict(type='mmseg.STDCNet', with_final_conv=False, **_STDC),
        ffm_cfg=dict(in_channels=384, out_channels=256, scale_factor=4),
        norm_cfg=_BN),
    'mmseg.STDCNet': _STDC,
    'mmseg.TIMMBackbone': dict(model_name='resnet18', pretrained=False),
    'mmseg.UNet': dict(upsample_cfg=dict(type='mmseg.InterpConv')),
    'mmseg.VisionTransformer': dict(
        embed_dims=192, num_heads=3, num_layers=4),
}

#: Registered beside the backbones, but none, or not to be had here
REASONS = {
    'mmpretrain.LeNet5': 'takes images of one channel',
    'mmpretrain.MlpMixer': 'its output has no grid; layers.*.norm2 would have '
    'one, at 224 x 224 only: write taps out',
    'mmpretrain.SparseConvNeXt': 'runs under a mask only (SparK pre-training); '
    'its weights fit ConvNeXt',
    'mmpretrain.SparseResNet': 'runs under a mask only (SparK pre-training); '
    'its weights fit ResNet',
    'mmseg.DeconvModule': 'a layer of UNet',
    'mmseg.InterpConv': 'a layer of UNet',
    'mmseg.VPD': 'needs Stable Diffusion\'s files and text features',
}

# in this order; the last is what backbones of fixed size are built for
_IMAGES = (('any', (103, 141)), ('multiples of 32', (96, 128)),
           ('img_size', (224, 224)))


def registered() -> List[str]:
    """Names of the backbones in the installed mmpretrain and mmseg."""
    return [
        f'{zoo}.{name}'
        for zoo, registry in (('mmpretrain', MMPRETRAIN), ('mmseg', MMSEG))
        for name, cls in sorted(registry.module_dict.items())
        if cls.__module__.startswith(f'{zoo}.models.backbones.')
    ]


def build(name: str, **kwargs) -> torch.nn.Module:
    """HSNet on a small form of a backbone."""
    return MODELS.build(
        dict(
            type='HSNet',
            backbone=dict(type=name, **ARGS.get(name, {})),
            neck=dict(type='HypercorrelationPyramid'),
            decode_head=dict(type='HSNetHead'),
            **kwargs)).eval()


@torch.no_grad()
def describe(name: str) -> Dict:
    """Build a backbone and run it on images of several sizes.

    Args:
        name (str): E.g. 'mmpretrain.ConvNeXt'.

    Returns:
        dict: ``backbone``; ``taps``, where they come from ('preset',
        'outputs', or 'none'); ``images``, the sizes that it takes; ``levels``,
        each with stride, number of maps and channels, deep to shallow; and
        ``reason``, why it does not work.
    """
    row = dict(backbone=name, taps='none', images='', levels=[], reason='')
    if name in REASONS:
        return dict(row, reason=REASONS[name])
    try:
        backbone = MODELS.build(dict(type=name, **ARGS.get(name, {})))
        taps = FeatureTaps(backbone)
    except (ImportError, RuntimeError, ValueError) as error:
        return dict(row, reason=str(error))
    backbone.eval()
    for images, size in _IMAGES:
        try:
            levels = taps(torch.rand(2, 3, *size))
            row['images'] = images
            break
        except ValueError as error:
            row['reason'] = str(error)
    else:
        return row
    row.update(
        taps='outputs' if preset_taps(backbone) is None else 'preset',
        reason='',
        levels=[
            dict(
                stride=stride,
                maps=len(level),
                channels=sorted({f.shape[1] for f in level}))
            for stride, level in zip(taps.strides, levels)
        ])
    return row


@torch.no_grad()
def measure(name: str, images: str) -> Dict:
    """Parameters, multiply-adds and time of HSNet on a backbone.

    Args:
        name (str): E.g. 'mmpretrain.ConvNeXt'.
        images (str): The sizes that it takes, of :func:`describe`.

    Returns:
        dict: ``side`` of the images; ``frozen`` and ``learnable`` parameters;
        ``multiply_adds`` and ``ms`` of one 1-shot episode.
    """
    side = {'any': 400, 'multiples of 32': 384}.get(images, 224)
    model = build(name)
    counted = count_multiply_adds(model, side, side, shot=1)  # and warm-up
    sample = FewShotDataSample(support_masks=torch.ones(1, side, side))
    inputs = dict(
        query=torch.rand(1, 3, side, side),
        support=torch.rand(1, 1, 3, side, side))
    start = time.perf_counter()
    model(inputs, [sample], mode='tensor')
    elapsed = time.perf_counter() - start
    return dict(
        count_parameters(model)['total'],
        side=side,
        multiply_adds=counted['total'],
        ms=round(1000 * elapsed))


def print_table(rows: List[Dict]) -> None:
    header = ['backbone', 'taps', 'stride: maps x channels', 'sides']
    measured = any('ms' in row for row in rows)
    if measured:
        header += ['image', 'frozen (M)', 'learnable (M)', 'multiply-adds (G)',
                   'ms']
    table = PrettyTable(header)
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'l'
    for row in rows:
        levels = ', '.join(
            '{stride}: {maps} x {}'.format(
                '-'.join(str(c) for c in
                         dict.fromkeys((level['channels'][0],
                                        level['channels'][-1]))), **level)
            for level in row['levels'])
        cells = [row['backbone'], row['taps'], levels or row['reason'],
                 row['images']]
        if measured:
            cells += [
                row['side'], f'{row["frozen"] / 1e6:.1f}',
                f'{row["learnable"] / 1e6:.2f}',
                f'{row["multiply_adds"] / 1e9:.1f}', row['ms']
            ] if 'ms' in row else [''] * 5
        table.add_row(cells)
    print(table)
    count = [sum(r['taps'] == t for r in rows)
             for t in ('preset', 'outputs', 'none')]
    print(f'\n{len(rows)} registered: {count[0]} with a preset of taps, '
          f'{count[1]} by their outputs, {count[2]} not.')


def main() -> None:
    parser = argparse.ArgumentParser(
        description='The backbones of the installed mmpretrain and mmseg, each '
        'in a small form: whether a preset of taps covers it, and its levels.')
    parser.add_argument('names', nargs='*', help='e.g. mmpretrain.ConvNeXt')
    parser.add_argument(
        '--measure',
        action='store_true',
        help='parameters, multiply-adds and time of a 1-shot episode, too')
    parser.add_argument(
        '--json', action='store_true', help='print JSON in place of a table')
    args = parser.parse_args()
    unknown = set(args.names) - set(registered())
    if unknown:
        parser.error(f'no registered backbone: {sorted(unknown)}')
    init_default_scope('mmfss')
    warnings.filterwarnings('ignore')
    MMLogger.get_current_instance().setLevel('WARNING')

    rows = []
    for name in args.names or registered():
        row = describe(name)
        if args.measure and row['levels']:
            row.update(measure(name, row['images']))
        rows.append(row)
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)


if __name__ == '__main__':
    main()
