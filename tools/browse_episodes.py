"""Draw the episodes that a config trains or tests on."""
import argparse
import os.path as osp
import sys

import mmcv
from cli import add_config_arguments, load_config
from mmengine.registry import init_default_scope
from rich.progress import track

from mmfss.datasets import EpisodicDataset
from mmfss.registry import DATASETS, VISUALIZERS
from mmfss.utils import file_name
from mmfss.visualization import to_rgb

SPLITS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='A picture per episode: support(s) with mask | query with mask. '
        'Of training, they are the first episodes of the first epoch.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--split', choices=SPLITS, default='train',
        help='whose dataloader; default: train')
    parser.add_argument(
        '--num', type=int, default=20, help='how many episodes; default: 20')
    parser.add_argument(
        '--out-dir', help='default: episodes_<split> in the work dir')
    add_config_arguments(parser)
    args = parser.parse_args()
    if args.num < 1:
        parser.error(f'--num {args.num}: draw at least one episode')
    return args


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    init_default_scope(cfg.get('default_scope', 'mmfss'))
    loader = cfg.get(f'{args.split}_dataloader')
    if not loader:
        others = [s for s in SPLITS if cfg.get(f'{s}_dataloader')]
        sys.exit(f'browse_episodes.py: {args.config} has no '
                 f'{args.split}_dataloader. There is: --split '
                 f'{", ".join(others) or "none"}.')
    try:
        dataset = DATASETS.build(loader.dataset)
    except (OSError, ValueError) as error:
        sys.exit(f'browse_episodes.py: {error}')
    if not isinstance(dataset, EpisodicDataset):
        sys.exit(f'browse_episodes.py: {type(dataset).__name__} has no episodes.')
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, vis_backends=None))
    out_dir = args.out_dir or osp.join(cfg.work_dir, f'episodes_{args.split}')
    num = min(args.num, len(dataset))
    for n in track(range(num), description='Drawing'):
        data = dataset[n if dataset.test_mode else (0, n)]
        sample, inputs = data['data_samples'], data['inputs']
        picture = visualizer.draw_episode(
            to_rgb(inputs['query']), to_rgb(inputs['support']), sample)
        name = file_name(
            f'{args.split}_{n:04d}_{sample.class_name}_{sample.shot}shot.png')
        mmcv.imwrite(picture[..., ::-1], osp.abspath(osp.join(out_dir, name)))
    print(f'{num} of {len(dataset)} episodes are in {out_dir}.')


if __name__ == '__main__':
    main()
