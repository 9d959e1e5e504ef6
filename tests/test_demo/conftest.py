import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.conftest import REPO
from tests.test_apis.conftest import photo, small_config, weights  # noqa: F401


@pytest.fixture(scope='session')
def app(weights, tmp_path_factory):  # noqa: F811
    """The config and the address of a running page."""
    pytest.importorskip(
        'gradio', reason='the demo needs gradio: pip install -e ".[demo]"')
    folder = tmp_path_factory.mktemp('app')
    config = folder / 'config.py'
    small_config().dump(config)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    environment = dict(
        os.environ, GRADIO_ANALYTICS_ENABLED='False', HF_HUB_OFFLINE='1',
        GRADIO_TEMP_DIR=str(folder / 'uploads'), OMP_NUM_THREADS='1',
        PYTHONPATH=f'{REPO}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    log = folder / 'log'
    with log.open('w') as output:
        process = subprocess.Popen(
            [sys.executable, str(REPO / 'demo' / 'app.py'), str(config), weights,
             '--device', 'cpu', '--port', str(port), '--max-file-size', '300kb'],
            cwd=folder, env=environment, stdout=output, stderr=output)
    address = f'http://127.0.0.1:{port}'
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.25)
        yield str(config), address
    finally:
        process.kill()
        process.wait()
