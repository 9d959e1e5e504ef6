"""Export a model that is fitted to a class to one file, ONNX or TorchScript.

The file needs neither mmfss nor the annotated photos to run.
"""
import argparse
import logging
import os.path as osp
import sys

from infer import split_pair

from mmfss.apis import FewShotInferencer
from mmfss.apis.export import export_fitted
from mmfss.apis.images import read_image

PHOTOS = [
    osp.join(osp.dirname(__file__), f'../demo/data/objects30/images/{name}.jpg')
    for name in ('teapot/03', 'clock/00', 'cat/00')
]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'model', help='a model that comes with mmfss (hsnet_mobilenetv2), or a config '
        'file')
    parser.add_argument(
        'weights', nargs='?',
        help='checkpoint file or https URL of a config; none for a model that comes '
        'with mmfss')
    supports = parser.add_mutually_exclusive_group(required=True)
    supports.add_argument(
        '--support', nargs='+', metavar='IMG:MASK',
        help='annotated images of the class')
    supports.add_argument(
        '--load-support', metavar='FILE',
        help='take the class from a file of infer.py --save-support')
    parser.add_argument(
        '--class-name', metavar='NAME',
        help='which class of --load-support; default: the only one')
    parser.add_argument(
        '--format', choices=['onnx', 'torchscript'], default='onnx',
        help='default: onnx, which needs pip install -e ".[export]"')
    parser.add_argument('--out', required=True, metavar='FILE', help='file to write')
    return parser.parse_args()


def export(args: argparse.Namespace) -> dict:
    """Fit and export.

    Returns:
        dict: Of :func:`export_fitted`.
    """
    inferencer = FewShotInferencer(
        args.model, args.weights, device='cpu', show_progress=False)
    if args.load_support:
        inferencer.load_support(args.load_support)
    else:
        images, masks = zip(*map(split_pair, args.support))
        inferencer.fit(images, masks, args.class_name or 'object')
    if not args.class_name and len(inferencer.classes) > 1:
        raise ValueError(
            f'{args.load_support} has the classes {", ".join(inferencer.classes)}: '
            'choose one with --class-name.')
    return export_fitted(
        inferencer, args.class_name or inferencer.classes[0], args.out,
        args.format, [read_image(photo) for photo in PHOTOS])


def main() -> int:
    args = parse_args()
    # it names operators of torchvision, which is not needed
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    try:
        result = export(args)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f'export.py: {error}', file=sys.stderr)
        return 1
    height, width = result['size']
    print(f'{args.out}: {osp.getsize(args.out) / 1e6:.1f} MB, takes images of '
          f'{width} x {height} (width x height).')
    if result['difference'] is None:
        print('Not compared with PyTorch: onnxruntime is not installed.')
    else:
        print(f'Compared with PyTorch on {len(PHOTOS)} photos, alone and as a batch: '
              f'largest difference of a logit {result["difference"]:.1e}, '
              f'{result["agreement"]:.2%} of the mask pixels equal.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
