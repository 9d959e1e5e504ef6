import importlib.metadata
import subprocess
import sys

import pytest

from mmfss import compat


def test_both_lines_of_openmmlab_are_refused(monkeypatch):
    monkeypatch.setattr(importlib.metadata, 'distribution', lambda name: name)
    with pytest.raises(ImportError, match='mmcv and onedl-mmcv.*virtual env'):
        compat._refuse_mixed_lines()


@pytest.mark.parametrize('code', [
    None,  # not installed
    "raise RuntimeError('operator torchvision::nms does not exist')",
])
def test_zoo_without_a_working_torchvision(tmp_path, code):
    if code:
        (tmp_path / 'torchvision').mkdir()
        (tmp_path / 'torchvision' / '__init__.py').write_text(code)
    done = subprocess.run(
        [sys.executable, '-c', 'import sys\n'
         'from mmfss.registry import MODELS\n'
         "print(MODELS.get('mmpretrain.ResNet').__name__)\n"
         "print([n for n in sys.modules if n.startswith('torchvision')])"],
        cwd=tmp_path, text=True, capture_output=True, check=True)
    assert done.stdout.splitlines() == ['ResNet', '[]']
    assert 'Warning' not in done.stderr


def test_zoo_beside_transformers_5(tmp_path):
    """Where it is installed, and pycocotools, too."""
    pytest.importorskip('pycocotools')
    (tmp_path / 'transformers').mkdir()
    (tmp_path / 'transformers' / '__init__.py').touch()
    info = tmp_path / 'transformers-5.17.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: transformers\nVersion: 5.17.0\n')
    done = subprocess.run(
        [sys.executable, '-c', 'from mmfss.registry import MODELS\n'
         "print(MODELS.get('mmpretrain.ResNet').__name__)"],
        cwd=tmp_path, text=True, capture_output=True)
    assert done.stdout == 'ResNet\n', done.stderr


def test_the_connections_between_processes_are_closed():
    done = subprocess.run(
        [sys.executable, '-c', 'import torch.distributed as dist\n'
         'from mmfss.compat import leave_distributed\n'
         'leave_distributed()\n'
         "dist.init_process_group('gloo', store=dist.HashStore(), rank=0,"
         ' world_size=1)\n'
         'leave_distributed()\n'
         'print(dist.is_initialized())'],
        text=True, capture_output=True, check=True)
    assert done.stdout == 'False\n'
