"""Photos and masks from a web server."""
import runpy
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from mmfss.apis.images import read_support
from tests.conftest import REPO
from tests.test_apis.test_few_shot_inferencer import masks, same


class Handler(SimpleHTTPRequestHandler):
    """The bundled photos, and what else a server may answer."""

    def do_GET(self):
        if self.path.startswith('/moved'):
            self.send_response(302)
            self.send_header('Location', self.path.removeprefix('/moved'))
            self.end_headers()
        elif self.path in ('/text.jpg', '/none.jpg', '/cut.jpg'):
            body = b'' if self.path == '/none.jpg' else b'<html>Log in</html>'
            self.send_response(200)
            self.send_header('Content-Length',
                             str(len(body) + 9 * (self.path == '/cut.jpg')))
            self.end_headers()
            self.wfile.write(body)
        elif self.path != '/hung-up.jpg':
            super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(objects30):
    """The address of a server."""
    with ThreadingHTTPServer(('127.0.0.1', 0),
                             partial(Handler, directory=objects30)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()
        thread.join()


def test_urls_are_as_files(inferencer, photo, server, tmp_path):
    inferencer.fit(photo('teapot/00'), photo('teapot/00', 'masks'))
    queries = ['teapot/04', 'clock/00']
    expected = inferencer([photo(q) for q in queries], presence_thr=0)
    inferencer.fit(f'{server}/images/teapot/00.jpg',
                   f'{server}/moved/masks/teapot/00.png')
    urls = [f'{server}/moved/images/teapot/04.jpg?width=400',
            f'{server}/images/clock/00.jpg']
    result = inferencer(urls, str(tmp_path), presence_thr=0)
    assert same(masks(result), masks(expected))
    assert [p['name'] for p in result['predictions']] == urls
    assert sorted(p.name for p in (tmp_path / 'pred').iterdir()) == [
        '00.png', '04.png']


def test_hints_and_outlines(photo, server):
    """Strokes may be a URL, too."""
    strokes = np.zeros((400, 400), np.uint8)
    with Image.open(photo('teapot/00', 'masks')) as mask:
        strokes[np.array(mask) > 0] = 1
    found, expected = (
        read_support(f'{server}/images/teapot/00.jpg', dict(scribble=s))
        for s in (f'{server}/masks/teapot/00.png', strokes))
    assert same([found['gt_seg_map']], [expected['gt_seg_map']])


@pytest.mark.parametrize('path, message', [
    ('nowhere.jpg', '/nowhere.jpg cannot be read: .*404'),
    ('text.jpg', '/text.jpg is damaged or no image'),
    ('none.jpg', '/none.jpg is empty'),
    ('cut.jpg', '/cut.jpg cannot be read: .*9 more expected'),
    ('hung-up.jpg', '/hung-up.jpg cannot be read: .*closed connection'),
    ('my photo.jpg', '/my photo.jpg cannot be read: .*control characters'),
    ('moved/nowhere.jpg', '/moved/nowhere.jpg cannot be read: .*404')])
def test_what_is_wrong_is_said(teapot, photo, server, path, message):
    """Of a query, a photo and a mask; the other queries are segmented."""
    url = f'{server}/{path}'
    result = teapot([url, photo('teapot/04')])
    assert len(result['predictions']) == 1
    failed, = result['failed']
    assert failed['name'] == url
    with pytest.raises(ValueError, match=message):
        raise ValueError(failed['error'])
    for pair in ((url, photo('teapot/00', 'masks')), (photo('teapot/00'), url)):
        with pytest.raises(ValueError, match=message):
            teapot.fit(*pair, 'teapot')


@pytest.mark.parametrize('url, message', [
    ('http://127.0.0.1:9/a.jpg', 'cannot be read: .*refused'),
    ('gopher://127.0.0.1/a.jpg', 'cannot be read')])
def test_no_server(teapot, url, message):
    with pytest.raises(ValueError, match=message):
        teapot(url)


def test_supports_on_the_command_line(photo):
    tool = runpy.run_path(str(REPO / 'tools' / 'infer.py'))
    split_pair, url = tool['split_pair'], 'http://127.0.0.1:80/a.jpg'
    for image in (url, photo('teapot/00')):
        for mask in (url, photo('teapot/00', 'masks')):
            assert split_pair(f'{image}:{mask}') == (image, mask)
        assert split_pair(f'{image}:point=1,2') == (image, dict(point=[1., 2.]))
    with pytest.raises(FileNotFoundError, match='there is no file none.png'):
        split_pair(f'{url}:none.png')
