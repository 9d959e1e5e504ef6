"""Segment your own classes from a few annotated images of each."""
import argparse
import os.path as osp
import re
import sys

from prettytable import PrettyTable

from mmfss.apis import FewShotInferencer

EXAMPLES = """examples:
  # one class, three annotated photos (mask: not black = the object)
  python tools/infer.py hsnet_mobilenetv2 \\
      --support 1.jpg:1.png 2.jpg:2.png 3.jpg:3.png --class-name teapot \\
      --query photos/ --out-dir out

  # two classes, kept for later
  python tools/infer.py CONFIG WEIGHTS \\
      --support t.jpg:t.png --class-name teapot \\
      --support c1.jpg:c1.png c2.jpg:c2.png --class-name clock \\
      --save-support mine.pth --query 'photos/*.jpg' --out-dir out
  python tools/infer.py CONFIG WEIGHTS --load-support mine.pth \\
      --query more/ --out-dir out2

  # without masks: outlines of LabelMe or COCO, or a rough hint in pixels (a box
  # x1,y1,x2,y2, a point x,y, a scribble x,y,x,y,... or an image of strokes),
  # which GrabCut makes into a mask
  python tools/infer.py CONFIG WEIGHTS --class-name teapot \\
      --support 1.jpg:1.json 2.jpg:box=10,20,200,300 3.jpg:point=120,80 \\
                4.jpg:scribble=90,60,150,110 5.jpg:scribble=strokes.png \\
                6.jpg:box=10,20,200,300:background=150,200,180,260 \\
      --query photos/ --out-dir out

The exit code is 0 if every image was segmented, else 1."""
HINT = re.compile('(.+?):(box|point|scribble)=(.*?)(?::background=(.*))?')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'model', help='a model that comes with mmfss (hsnet_mobilenetv2), or a config '
        'file')
    parser.add_argument(
        'weights', nargs='?',
        help='checkpoint file or https URL of a config; none for a model that comes '
        'with mmfss or is not trained')
    parser.add_argument(
        '--support', nargs='+', action='append', default=[], metavar='IMG:MASK',
        help='annotated images of a class; once per class. MASK is a mask image, '
        'a .json of LabelMe or COCO, or box=, point= or scribble=, see below')
    parser.add_argument(
        '--class-name', action='append', default=[], metavar='NAME',
        help='of each --support, in the same order; default, of a single one: '
        'object')
    parser.add_argument(
        '--query', nargs='+', default=[], metavar='PATH',
        help='images, folders or glob patterns to segment')
    parser.add_argument(
        '--out-dir', default='out', help='where the results go; default: out')
    parser.add_argument(
        '--score-supports', action='store_true',
        help='print, of each class, how well its annotated images segment each '
        'other: which helps, which hurts')
    parser.add_argument('--save-support', metavar='FILE', help='keep the classes')
    parser.add_argument(
        '--load-support', metavar='FILE', help='begin with the classes of a file')
    parser.add_argument(
        '--score-thr', type=float, default=0.5,
        help='least foreground score of a pixel; default: 0.5')
    parser.add_argument(
        '--presence-thr', type=float, default=0.3,
        help='a class whose presence in an image is below it gets no pixel; '
        '0: every class is there; default: 0.3')
    parser.add_argument('--device', help='default: the GPU, if there is one')
    args = parser.parse_args()
    if not args.class_name and len(args.support) == 1:
        args.class_name = ['object']
    if len(args.class_name) != len(args.support):
        parser.error(f'there are {len(args.support)} --support and '
                     f'{len(args.class_name)} --class-name: give one of each per '
                     'class')
    if len(set(args.class_name)) < len(args.class_name):
        parser.error('each --class-name once: all images of a class follow one '
                     '--support')
    if not args.support and not args.load_support:
        parser.error('give --support or --load-support')
    if args.score_supports and not args.support:
        parser.error('--score-supports scores the images of --support: give them')
    if not (args.query or args.save_support or args.score_supports):
        parser.error('give --query, --save-support or --score-supports')
    return args


def split_pair(pair: str) -> tuple:
    """Image and annotation of ``IMG:MASK`` or ``IMG:box=...``."""
    hint = HINT.fullmatch(pair)
    if hint:
        image, what, value, background = hint.groups()
        annotation = {what: parse_points(pair, what, value)}
        if background:
            annotation['background'] = parse_points(pair, 'background', background)
        if not is_file_or_url(image):
            raise FileNotFoundError(f'--support {pair}: there is no file {image}.')
        return image, annotation
    # at the colon that makes two files or URLs
    colons = [n for n, character in enumerate(pair) if character == ':']
    parts = [(pair[:n], pair[n + 1:]) for n in colons]
    for part in parts:
        if all(map(is_file_or_url, part)):
            return part
    if not parts:
        raise ValueError(f'--support {pair}: write IMG:MASK, the image, a colon '
                         'and its mask, or IMG:box=x1,y1,x2,y2.')
    nearest = max(
        reversed(parts), key=lambda part: sum(map(is_file_or_url, part)))
    missing = [p for p in nearest if not is_file_or_url(p)]
    raise FileNotFoundError(f'--support {pair}: there is no file '
                            f'{" and no file ".join(missing)}.')


def is_file_or_url(path: str) -> bool:
    return osp.isfile(path) or path.startswith(('http://', 'https://'))


def parse_points(pair: str, what: str, value: str):
    """Numbers of a box or point, points of a stroke, or an image of strokes."""
    try:
        numbers = [float(number) for number in value.split(',')]
    except ValueError:
        if what in ('scribble', 'background') and is_file_or_url(value):
            return value
        numbers = []
    count = dict(box=4, point=2).get(what, len(numbers) // 2 * 2)
    if not numbers or len(numbers) != count:
        form = dict(box='box=x1,y1,x2,y2', point='point=x,y').get(
            what, f'{what}=x,y,x,y,... or {what}=FILE, an image that exists')
        raise ValueError(f'--support {pair}: write {form}.')
    if what in ('box', 'point'):
        return numbers
    return list(zip(numbers[::2], numbers[1::2]))


def infer(args: argparse.Namespace) -> dict:
    """Fit and segment.

    Returns:
        dict: The inferencer's result; without a query, nothing failed.
    """
    inferencer = FewShotInferencer(args.model, args.weights, args.device)
    if args.load_support:
        inferencer.load_support(args.load_support)
        for name in set(args.class_name).intersection(inferencer.classes):
            print(f'The class {name} of {args.load_support} is replaced by '
                  '--support.', file=sys.stderr)
    for pairs, name in zip(args.support, args.class_name):
        images, masks = zip(*map(split_pair, pairs))
        inferencer.fit(images, masks, name)
        if args.score_supports:
            print_scores(name, inferencer.score_supports(
                images, masks, name, args.score_thr))
    if args.save_support:
        inferencer.save_support(args.save_support)
    if not args.query:
        return dict(failed=[])
    return inferencer(
        args.query,
        out_dir=args.out_dir,
        score_thr=args.score_thr,
        presence_thr=args.presence_thr,
        return_masks=False)


def print_scores(name: str, scores: list) -> None:
    """Print a class's ``score_supports`` as a table."""
    table = PrettyTable([name, 'IoU by the others', "others' IoU by it alone",
                         "gain of the others' IoU"])
    for score in scores:
        gain = score['gain']
        table.add_row([score['name'], f'{score["iou"]:.1f}',
                       f'{score["iou_alone"]:.1f}',
                       '' if gain is None else f'{gain:+.1f}'])
    others, alone = (sum(score[key] for score in scores) / len(scores)
                     for key in ('iou', 'iou_alone'))
    print(table.get_string())
    print(f'Mean IoU with 1 support: {alone:.1f}, with {len(scores) - 1}: '
          f'{others:.1f}')


def main() -> int:
    args = parse_args()
    try:
        result = infer(args)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f'infer.py: {error}', file=sys.stderr)
        return 1
    for prediction in result.get('predictions', []):
        print(f'{prediction["name"]}: ' + ', '.join(
            f'{name} {"found" if prediction["scores"][name] else "not found"} '
            f'(presence {presence:.2f})'
            for name, presence in prediction['presence'].items()))
    if args.query:
        print(f'The results are in {args.out_dir}.')
    return 1 if result['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
