"""Cross-validate: test the four folds, print the paper's table beside ours.

  python tools/cross_validate.py configs/hsnet_resnet50_pascal5i_fold{}.py \\
      --checkpoint 'work_dirs/hsnet_resnet50_pascal5i_fold{}/best_*.pth' --shots 1 5

{} stands for the fold. Every test's report.json is kept under the work dir, and a
fold with a report of the same checkpoint, config and options there is not tested
again: a run that was cut off goes on. Without --checkpoint, the reports there are
collected as they are; a model that is not trained is tested with --untrained in
its place.
"""
import argparse
import csv
import glob
import hashlib
import json
import os.path as osp
import subprocess
import sys

from mmfss.apis.configs import read_config
from mmfss.utils import replacing

READ_BY_TEST = ('model', 'test_dataloader', 'test_evaluator', 'test_cfg')
HERE = osp.dirname(osp.abspath(__file__))
PUBLISHED = osp.join(HERE, 'analysis_tools', 'published.csv')
FOLDS = ('fold0', 'fold1', 'fold2', 'fold3')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'config', help='config file, with {} for the fold where there are folds')
    tested = parser.add_mutually_exclusive_group()
    tested.add_argument(
        '--checkpoint', help='checkpoint file, with {} for the fold; may have *')
    tested.add_argument(
        '--untrained', action='store_true',
        help='there is no checkpoint: the model is not trained (PrototypeNet)')
    parser.add_argument(
        '--shots', type=int, nargs='+', default=[1], help='numbers of supports')
    parser.add_argument(
        '--protocol', help='name of a protocol of mmfss; default: the config\'s')
    parser.add_argument(
        '--work-dir', help='where reports and tables go; default: '
        'work_dirs/<config without fold>_cross_validation')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='as of test.py, every fold')
    args = parser.parse_args()
    name = osp.splitext(osp.basename(args.config))[0]
    args.folds = range(4) if name.endswith('_fold{}') else ['']
    args.model, _, args.benchmark = name.removesuffix('_fold{}').rpartition('_')
    if not args.model or '{}' in args.model + args.benchmark:
        parser.error('config: expected <model>_<benchmark>_fold{}.py, or without '
                     f'_fold{{}} where there are no folds, not {args.config}')
    return args


def main() -> None:
    args = parse_args()
    work_dir = args.work_dir or osp.join(
        'work_dirs', f'{args.model}_{args.benchmark}_cross_validation')
    rows = []
    for shot in args.shots:
        root = osp.join(work_dir, f'{args.protocol or "config"}_{shot}shot')
        reports = [test_fold(args, root, shot, fold) for fold in args.folds]
        protocols = {r['protocol']['name'] for r in reports}
        if len(protocols) > 1:
            sys.exit(f'The reports in {root} are of different protocols '
                     f'({", ".join(sorted(protocols))}): give --checkpoint, to '
                     'test again.')
        rows += make_rows(args.model, args.benchmark, shot, reports)
    write_tables(rows, work_dir)


def test_fold(args: argparse.Namespace, root: str, shot: int, fold) -> dict:
    """Test one fold, unless its report is there; return the report."""
    path = osp.join(root, f'fold{fold}.json')
    report = None
    if osp.isfile(path):
        with open(path) as file:
            report = json.load(file)
    if args.checkpoint is None and not args.untrained:
        if report is None:
            sys.exit(f'There is no report {path} of an earlier test: name the '
                     'checkpoints with --checkpoint, or say --untrained of a model '
                     'that is not trained.')
    else:
        asked = what_is_asked(args, fold)
        if report is None or report['asked'] != asked:
            report = dict(run_test(args, root, shot, fold, asked), asked=asked)
            with replacing(path) as temporary, open(temporary, 'w') as file:
                json.dump(report, file, indent=2)
    print(f'{path}: checkpoint {report["asked"]["checkpoint"]}')
    return report


def what_is_asked(args: argparse.Namespace, fold) -> dict:
    """What a report must be of to be used again."""
    config = osp.abspath(args.config.replace('{}', str(fold)))
    try:
        cfg = read_config(config).to_dict()
    except FileNotFoundError as error:
        sys.exit(f'cross_validate.py: {error}')
    text = json.dumps([cfg.get(key) for key in READ_BY_TEST], sort_keys=True,
                      default=str)
    asked = dict(
        checkpoint=None,
        saved=None,
        config=config,
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        options=args.cfg_options)
    if args.untrained:
        return asked
    found = glob.glob(args.checkpoint.replace('{}', str(fold)))
    if len(found) != 1:
        sys.exit(f'--checkpoint {args.checkpoint}: fold {fold} has {len(found)} such '
                 f'files {found}; name one (seen from {osp.abspath(".")}).')
    return dict(
        asked, checkpoint=osp.abspath(found[0]), saved=osp.getmtime(found[0]))


def run_test(args: argparse.Namespace, root: str, shot: int, fold,
             asked: dict) -> dict:
    """Run test.py and read its report."""
    test_dir = osp.join(root, f'fold{fold}')
    report = osp.join(test_dir, 'report.json')
    options = list(args.cfg_options)
    if args.protocol:
        options.append(f'test_dataloader.dataset.protocol={args.protocol}')
    done = subprocess.run([
        sys.executable,
        osp.join(HERE, 'test.py'), asked['config'],
        *([asked['checkpoint']] if asked['checkpoint'] else []), '--shot', str(shot),
        '--work-dir', test_dir, '--report', report,
        *(['--cfg-options', *options] if options else [])
    ])
    if done.returncode:
        sys.exit(f'cross_validate.py: test.py failed on fold {fold}; the reason is '
                 'above.')
    with open(report) as file:
        return json.load(file)


def make_rows(model: str, benchmark: str, shot: int, reports: list) -> list:
    """Ours, published, difference: one row each."""
    start = dict(benchmark=benchmark, model=model, shot=shot)
    ours = dict(start, row=f'ours ({reports[0]["protocol"]["name"]})')
    if len(reports) > 1:
        ours.update({f: report['mIoU'] for f, report in zip(FOLDS, reports)})
    for key in ('mIoU', 'FB-IoU'):
        ours[key] = sum(report[key] for report in reports) / len(reports)
    rows = [ours]
    with open(PUBLISHED) as file:
        for line in csv.DictReader(file):
            if all(line[k] == str(v) for k, v in start.items()):
                published = dict(start, row='published')
                if line['note']:
                    published['row'] += f' ({line["note"]})'
                published.update({
                    k: float(line[k])
                    for k in (*FOLDS, 'mIoU', 'FB-IoU') if line[k]
                })
                difference = {
                    k: ours[k] - v
                    for k, v in published.items() if isinstance(v, float)
                }
                rows += [published, dict(start, row='difference', **difference)]
    return rows


def write_tables(rows: list, work_dir: str) -> None:
    """Print the table; save it as Markdown, CSV and a plot."""
    columns = ('benchmark', 'model', 'shot', 'row', *FOLDS, 'mIoU', 'FB-IoU')
    path = osp.join(work_dir, 'cross_validation')
    with open(f'{path}.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)

    def cell(row, column):
        value = row.get(column, '')
        if isinstance(value, float):
            sign = '+' if row['row'] == 'difference' else ''
            return f'{value:{sign}.1f}'
        return str(value)

    lines = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]
    lines += ['| ' + ' | '.join(cell(r, c) for c in columns) + ' |' for r in rows]
    table = '\n'.join(lines) + '\n'
    with open(f'{path}.md', 'w') as file:
        file.write(table)
    print(table)

    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    figure, axes = plt.subplots(figsize=(8, 4))
    bars = [r for r in rows if r['row'] != 'difference']
    groups = (*FOLDS, 'mIoU', 'FB-IoU')
    for i, row in enumerate(bars):
        places = [g + (i + 0.5) * 0.8 / len(bars) - 0.4 for g in range(len(groups))]
        axes.bar(places, [row.get(g, 0) for g in groups], 0.8 / len(bars),
                 label=f'{row["shot"]}-shot, {row["row"]}')
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel('%')
    axes.set_title(f'{rows[0]["model"]} on {rows[0]["benchmark"]}')
    axes.legend(fontsize='small')
    figure.savefig(f'{path}.png', dpi=150, bbox_inches='tight')
    print(f'Saved {path}.md, .csv and .png')


if __name__ == '__main__':
    main()
