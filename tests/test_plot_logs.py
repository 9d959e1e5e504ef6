"""tools/analysis_tools/plot_logs.py on logs as LocalVisBackend writes them."""
import json
import runpy
import sys

import pytest
from PIL import Image

from tests.conftest import REPO

TOOL = str(REPO / 'tools' / 'analysis_tools' / 'plot_logs.py')


@pytest.fixture
def plot_logs(monkeypatch, capsys):
    """Run the tool; what it prints, or raises at its end."""

    def run(*args):
        monkeypatch.setattr(sys, 'argv', ['plot_logs.py', *map(str, args)])
        runpy.run_path(TOOL, run_name='__main__')
        return capsys.readouterr().out

    return run


def log(work_dir, time, start, steps, per_epoch=10, per_iter=4, loss=1., tail=''):
    """A start at an iteration; epochs of 3 iterations, each validated."""
    lines = [dict(episodes_per_epoch=per_epoch, episodes_per_iter=per_iter,
                  step=start)]
    for step in steps:
        lines.append(dict(lr=.001, loss=loss / step, epoch=(step + 2) // 3,
                          iter=step, memory=5, step=step))
        if step % 3 == 0:
            lines.append({'mIoU': 10. * step, 'FB-IoU': 50., 'step': step // 3})
    path = work_dir / time / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n' + tail)
    return path


def read(log):
    curves = runpy.run_path(TOOL)['read_curves'](str(log))
    return {key: dict(curve) for key, curve in curves.items()}


def test_over_episodes(tmp_path):
    """Ten episodes in batches of 4, 4 and 2."""
    curves = read(log(tmp_path, '1', 0, range(1, 8)))
    assert list(curves['loss']) == [4, 8, 10, 14, 18, 20, 24]
    assert curves['mIoU'] == {10: 30., 20: 60.}
    assert not {'step', 'iter', 'epoch', 'episodes_per_iter'} & set(curves)


@pytest.mark.parametrize('step', [4, 0])
def test_of_a_loop_over_iterations(step, tmp_path):
    """IterBasedTrainLoop: evaluations are logged at iterations.

    Or all at 0, if LoggerHook's log_metric_by_epoch=False was forgotten.
    """
    path = tmp_path / 'scalars.json'
    path.write_text('\n'.join(map(json.dumps, [
        dict(episodes_per_epoch=10, episodes_per_iter=4, step=0),
        *(dict(loss=1., iter=step, step=step) for step in (1, 2, 3, 4)),
        dict(mIoU=30., step=step)])))
    assert read(path) == dict(loss={4: 1., 8: 1., 10: 1., 14: 1.}, mIoU={14: 30.})


def test_starts_are_joined(tmp_path):
    """Killed in the third epoch, resumed after the second on two processes."""
    log(tmp_path, '20260101_000000', 0, range(1, 9), tail='{"loss": 0.1, "st')
    log(tmp_path, '20260102_000000', 6, (7, 8, 9), loss=5)
    curves = read(tmp_path)
    assert curves['loss'][20] == 1 / 6 and curves['loss'][24] == 5 / 7
    assert max(curves['loss']) == 30 and list(curves['mIoU']) == [10, 20, 30]
    # begun anew: what was before is another run
    log(tmp_path, '20260103_000000', 0, (1, ), per_iter=5)
    assert read(tmp_path)['loss'] == {5: 1.} and read(tmp_path)['mIoU'] == {}


def test_a_picture_of_two_runs(tmp_path, plot_logs):
    one = log(tmp_path / 'one', '1', 0, range(1, 7))
    log(tmp_path / 'two', '1', 0, range(1, 4), per_iter=2)
    output = plot_logs(tmp_path / 'two', one, '--legend', 'b', 'a', '--keys', 'mIoU',
                       'loss', '--out', tmp_path / 'new' / 'curves.png')
    assert 'a: mIoU 60 after 20 episodes, loss 0.1667 after 20 episodes' in output
    assert 'b: mIoU 30 after 10 episodes, loss 0.3333 after 6' in output
    picture = Image.open(tmp_path / 'new' / 'curves.png')
    assert picture.size == (1200, 900)  # two panels
    assert len(picture.convert('RGB').getcolors(10**6)) > 10


@pytest.mark.parametrize('args, message', [
    (['run', '--keys', 'loss', 'mIou'],
     'run: there is no mIou; the keys there are FB-IoU, loss, lr, mIoU, memory.'),
    (['nowhere'], 'nowhere: there is no such log. Name a work dir'),
    (['broken.json'], "broken.json:2: 'no JSON' is no entry of a log"),
    (['old.json'], 'old.json:1: how many episodes an iteration has is not log'),
    (['test.json'], 'test.json: no training is logged there'),
])
def test_clear_errors(args, message, tmp_path, monkeypatch, plot_logs):
    monkeypatch.chdir(tmp_path)
    good = log(tmp_path / 'run', '1', 0, range(1, 4)).read_text().splitlines()
    (tmp_path / 'broken.json').write_text('\n'.join([good[0], 'no JSON', good[1]]))
    (tmp_path / 'old.json').write_text('\n'.join(good[1:]))
    (tmp_path / 'test.json').write_text('{"mIoU": 1.0, "step": 0}\n')
    with pytest.raises(SystemExit) as error:
        plot_logs(*args)
    assert error.value.code.startswith(f'plot_logs.py: {message}')
    assert not (tmp_path / 'curves.png').exists()


@pytest.mark.parametrize('args, message', [
    (['run', '--out', 'curves.doc'], '--out curves.doc: the name must end with'),
    (['run', '--legend', 'a', 'b'], 'there are 1 logs and 2 names in --legend')])
def test_wrong_arguments(args, message, capsys, plot_logs):
    with pytest.raises(SystemExit):
        plot_logs(*args)
    assert message in capsys.readouterr().err
