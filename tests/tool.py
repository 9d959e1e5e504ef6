"""The tools, run as a user runs them, but for the start.

Importing torch and OpenMMLab takes longer than most of these runs. So one process
imports them, and each run is a fork of it.
"""
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parents[1]
TIMEOUT = 300
_server = None


def environment():
    """Of a tool: one thread, and this mmfss."""
    path = f'{REPO}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'
    return dict(os.environ, OMP_NUM_THREADS='1', COLUMNS='200', PYTHONPATH=path)


def run_tool(script, *args, cwd=None):
    """Run a script of ``tools/``: its exit code and what it prints."""
    global _server
    if _server is None:
        _server = subprocess.Popen(
            [sys.executable, __file__], env=environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with tempfile.NamedTemporaryFile() as output:
        job = dict(
            argv=[str(REPO / 'tools' / script), *map(str, args)],
            cwd=str(cwd or os.getcwd()), environ=environment(), output=output.name)
        print(json.dumps(job), file=_server.stdin, flush=True)
        code = int(_server.stdout.readline())
        return code, output.read().decode()


def serve():
    import mmfss.apis  # noqa: F401
    from mmfss.registry import MODELS
    MODELS.get('mmpretrain.MobileNetV2')  # the zoo is imported when it is asked
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return start(**json.loads(line))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, flush=True)


def start(argv, cwd, environ, output):
    """In the fork: what ``python argv`` does."""
    signal.alarm(TIMEOUT)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(output, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv, sys.path[0] = argv, os.path.dirname(argv[0])
    runpy.run_path(argv[0], run_name='__main__')


if __name__ == '__main__':
    serve()
