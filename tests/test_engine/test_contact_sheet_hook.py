import base64
import io
import logging
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from PIL import Image

from mmfss.engine.hooks import ContactSheetHook
from mmfss.visualization import FewShotVisualizer
from tests.test_engine.test_visualization_hook import batch


class Page(HTMLParser):
    """By heading, the captions and pictures; and every address and tag."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.sections = [], [], {}
        self.pictures, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ('meta', 'img'):
            self.open.append(tag)
        attrs = dict(attrs)
        self.addresses += [v for k, v in attrs.items()
                           if k in ('src', 'href', 'srcset', 'data', 'action')]
        if tag == 'img':
            kind, _, data = attrs['src'].partition(',')
            assert kind == 'data:image/jpeg;base64'
            self.pictures.append(
                Image.open(io.BytesIO(base64.b64decode(data, validate=True))))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ['h2']:
            self.sections[data] = []
        if self.open[-1:] == ['figcaption']:
            list(self.sections.values())[-1].append(data)
        self.texts.append(data)


@pytest.fixture
def runner(tmp_path):
    return SimpleNamespace(
        visualizer=FewShotVisualizer(), log_dir=str(tmp_path), _load_from='a<b.pth',
        cfg=SimpleNamespace(filename='configs/hsnet.py'),
        logger=logging.getLogger('test'))


def run(hook, runner, count, size, shot=1, name='teapot'):
    """Episode n has n of 32 columns right of the 16 that it should have."""
    for first in range(0, count, size):
        data, samples = batch(range(first, min(count, first + size)), shot)
        for sample in samples:
            sample.set_metainfo(dict(class_name=name, query=f'{name}/1'))
            sample.pred_sem_seg.data[:] = 0
            sample.pred_sem_seg.data[:, :sample.sample_idx] = 1
        hook.after_test_iter(runner, first, data, samples)
    hook.after_test_epoch(runner, dict(mIoU=47.123, time=1.))


def test_best_median_and_worst(runner, tmp_path):
    run(ContactSheetHook(num=3), runner, 9, 4)
    page = Page((tmp_path / 'contact_sheet.html').read_text())
    assert [[int(text.split('episode ')[1].split(',')[0]) for text in captions]
            for captions in page.sections.values()
            ] == [[8, 7, 6], [5, 4, 3], [0, 1, 2]]
    assert list(page.sections) == ['Best', 'Median', 'Worst']
    assert page.sections['Best'][0] == 'teapot: IoU 50.0, episode 8, query teapot/1'
    # support | prediction | ground truth, as drawn by the visualizer
    assert {p.size for p in page.pictures} == {(120 + 4 + 2 * (480 + 4), 262)}
    assert '9 episodes; mIoU 47.1; checkpoint a<b.pth' in page.texts


def test_fewer_episodes_than_places(runner, tmp_path):
    run(ContactSheetHook(out_file=str(tmp_path / 'new' / 'sheet.html')), runner, 2, 2)
    page = Page((tmp_path / 'new' / 'sheet.html').read_text())
    assert [len(captions) for captions in page.sections.values()] == [2, 2, 2]
    assert [p.name for p in (tmp_path / 'new').iterdir()] == ['sheet.html']


def test_text_is_escaped_and_nothing_is_fetched(runner, tmp_path):
    name = '"><script src=//evil.example>&amp;é'
    run(ContactSheetHook(num=1), runner, 2, 2, name=name)
    page = Page((tmp_path / 'contact_sheet.html').read_text(encoding='utf-8'))
    assert page.sections['Best'] == [
        f'{name}: IoU 6.2, episode 1, query {name}/1']
    assert set(page.tags) == {'html', 'head', 'meta', 'title', 'style', 'body',
                              'h1', 'p', 'h2', 'figure', 'img', 'figcaption'}
    assert all(a.startswith('data:image/jpeg;base64,') for a in page.addresses)
    assert 'url(' not in ''.join(page.texts)


def test_in_a_browser(runner, page, tmp_path):
    run(ContactSheetHook(num=3), runner, 9, 4)
    requests = []
    page.on('request', lambda request: requests.append(request.url))
    page.goto((tmp_path / 'contact_sheet.html').as_uri())
    widths = page.locator('img').evaluate_all(
        'images => Promise.all(images.map(i => i.decode().then(() => i.naturalWidth)))')
    assert widths == [120 + 4 + 2 * (480 + 4)] * 9
    assert all(url.startswith(('file:', 'data:')) for url in requests)
    # nothing is cut off at the right
    assert page.evaluate('document.body.scrollWidth <= window.innerWidth')
