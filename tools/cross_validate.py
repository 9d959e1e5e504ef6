"""Cross-validate: test the four folds, print the paper's table beside ours.

  python tools/cross_validate.py configs/hsnet_resnet50_pascal5i_fold{}.py \\
      --checkpoint 'work_dirs/hsnet_resnet50_pascal5i_fold{}/best_*.pth' --shots 1 5

{} stands for the fold. Every test's report.json is kept under the work dir, and
a fold with a report there is not tested again: a run that was cut off goes on,
and with all reports there only the tables are made.
"""
import argparse
import csv
import glob
import json
import os
import os.path as osp
import re
import subprocess
import sys

HERE = osp.dirname(osp.abspath(__file__))
PUBLISHED = osp.join(HERE, 'analysis_tools', 'published.csv')
FOLDS = ('fold0', 'fold1', 'fold2', 'fold3')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, with {} for the fold')
    parser.add_argument(
        '--checkpoint', help='checkpoint file, with {} for the fold; may have *')
    parser.add_argument(
        '--shots', type=int, nargs='+', default=[1], help='numbers of supports')
    parser.add_argument(
        '--protocol', default='hsnet', help='name of a protocol of mmfss')
    parser.add_argument(
        '--work-dir', help='where reports and tables go; default: '
        'work_dirs/<config without fold>_cross_validation')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='as of test.py, every fold')
    args = parser.parse_args()
    if '{}' not in args.config:
        parser.error('config: write {} for the number of the fold')
    return args


def main() -> None:
    args = parse_args()
    name = osp.splitext(osp.basename(args.config))[0]
    model, benchmark = re.fullmatch(r'(.+)_([^_]+)_fold\{\}', name).groups()
    work_dir = args.work_dir or osp.join(
        'work_dirs', f'{model}_{benchmark}_cross_validation')
    rows = []
    for shot in args.shots:
        reports = [
            test_fold(args, osp.join(work_dir, f'{args.protocol}_{shot}shot'),
                      shot, fold) for fold in range(4)
        ]
        rows += make_rows(model, benchmark, shot, reports)
    write_tables(rows, work_dir)


def test_fold(args: argparse.Namespace, root: str, shot: int, fold: int) -> dict:
    """Test one fold, unless its report is there; return the report."""
    path = osp.join(root, f'fold{fold}.json')
    if not osp.isfile(path):
        if args.checkpoint is None:
            sys.exit(f'There is no report {path} of an earlier test: name the '
                     'checkpoints with --checkpoint.')
        found = glob.glob(args.checkpoint.replace('{}', str(fold)))
        if len(found) != 1:
            sys.exit(f'--checkpoint {args.checkpoint}: for fold {fold} there are '
                     f'{len(found)} files, one is needed. {found}')
        test_dir = osp.join(root, f'fold{fold}')
        subprocess.run([
            sys.executable,
            osp.join(HERE, 'test.py'),
            args.config.replace('{}', str(fold)), found[0], '--shot',
            str(shot), '--work-dir', test_dir, '--cfg-options',
            f'test_dataloader.dataset.protocol={args.protocol}',
            *args.cfg_options
        ], check=True)
        newest = max(
            glob.glob(osp.join(test_dir, '*', 'report.json')),
            key=osp.getmtime)
        os.replace(newest, path)
    with open(path) as file:
        return json.load(file)


def make_rows(model: str, benchmark: str, shot: int, reports: list) -> list:
    """Ours, published, difference: one row each."""
    start = dict(benchmark=benchmark, model=model, shot=shot)
    ours = dict(start, row=f'ours ({reports[0]["protocol"]["name"]})')
    for fold, report in zip(FOLDS, reports):
        ours[fold] = report['mIoU']
    ours['mIoU'] = sum(r['mIoU'] for r in reports) / 4
    ours['FB-IoU'] = sum(r['FB-IoU'] for r in reports) / 4
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
