import os
import signal
import subprocess
import sys

import pytest

from mmfss.utils import replacing


def write(path, text, error=None):
    with replacing(str(path)) as temporary, open(temporary, 'w') as file:
        file.write(text)
        if error is not None:
            raise error


@pytest.mark.parametrize('error', [OSError('full'), KeyboardInterrupt()])
def test_whole_or_not_at_all(tmp_path, error):
    path = tmp_path / 'new folder' / 'file.txt'
    for before in ([], ['file.txt']):
        with pytest.raises(type(error)):
            write(path, 'half of', error)
        assert os.listdir(path.parent) == before
        if before:
            assert path.read_text() == 'the old'
        write(path, 'the old')
    write(path, 'the new')
    assert path.read_text() == 'the new'
    assert os.listdir(path.parent) == ['file.txt']


def test_error_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match='none'), replacing(str(tmp_path / 'a')):
        raise ValueError('none')
    assert not os.listdir(tmp_path)


def test_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write('file.txt', 'here')
    assert os.listdir(tmp_path) == ['file.txt']


def test_killed_while_writing(tmp_path):
    path = tmp_path / 'file.txt'
    write(path, 'the old')
    done = subprocess.run([
        sys.executable, '-c', 'import os, signal\n'
        'from mmfss.utils import replacing\n'
        f'with replacing({str(path)!r}) as temporary:\n'
        "    open(temporary, 'w').write('half of')\n"
        '    os.kill(os.getpid(), signal.SIGKILL)'
    ])
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == 'the old'
    assert sorted(os.listdir(tmp_path)) == ['file.txt', 'file.txt.mmfss-tmp']
    write(path, 'the new')  # what the killed one left is overwritten
    assert path.read_text() == 'the new'
    assert os.listdir(tmp_path) == ['file.txt']
