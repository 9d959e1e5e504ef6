"""The web demo in a browser: what a visitor sees and does."""
import io

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def opened(page, app):
    """The page with its example, which it starts with."""
    page.set_default_timeout(60_000)
    page.goto(app[1])
    thumbnails(page, 'Annotated photos', 2)
    return page


def thumbnails(page, label, count):
    """A gallery's pictures, once there are so many."""
    gallery = page.locator('.block').filter(has_text=label).last
    images = gallery.locator('.grid-container img')
    images.nth(count - 1).wait_for()
    page.wait_for_function(
        'images => images.every(i => i.complete && i.naturalWidth)',
        arg=images.element_handles())
    assert images.count() == count
    return [
        np.array(Image.open(io.BytesIO(page.request.get(url).body())).convert('RGB'))
        for url in images.evaluate_all('images => images.map(i => i.src)')
    ]


def upload(page, number, *files):
    """Give files to the n-th place that takes some."""
    page.locator('input[type=file]').nth(number).set_input_files(
        [str(f) for f in files])


def press(page, name):
    page.get_by_role('button', name=name, exact=True).click()


def message(page, text):
    page.get_by_text(text).wait_for()


def paint(page, *points):
    """One stroke through points of the photo in the editor, 400 x 400."""
    message(page, '72%')  # its size on the page
    canvas = page.locator('canvas').first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for n, (x, y) in enumerate(points):
        page.mouse.move(box['x'] + box['width'] / 2 + 0.72 * (x - 200),
                        box['y'] + box['height'] / 2 + 0.72 * (y - 200), steps=5)
        if n == 0:
            page.mouse.down()
    page.mouse.up()


def test_example(opened):
    press(opened, 'Segment')
    thumbnails(opened, 'Results', 3)
    masks = thumbnails(opened, 'Masks', 3)
    assert all(set(np.unique(mask)) <= {0, 255} for mask in masks)
    cells = opened.get_by_role('gridcell').all_inner_texts()
    assert cells[::4] == ['04.jpg', '03.jpg', '00.jpg']
    for name, pixels, mask in zip(cells[::4], cells[3::4], masks):
        assert float(pixels) == pytest.approx(100 * (mask > 0).mean(), abs=0.06)
        found = 'found' if mask.any() else 'not found'
        assert opened.get_by_text(f'{name}: {found}', exact=True).is_visible()


def test_painted_box(opened, photo):
    press(opened, 'Remove all')
    upload(opened, 0, photo('teapot/00'))
    opened.get_by_label('a box around it').check()
    paint(opened, (150, 70), (330, 220))
    press(opened, 'Add this photo')
    shown, = thumbnails(opened, 'Annotated photos', 1)
    with Image.open(photo('teapot/00')) as before:
        tinted = shown[..., 0] > np.array(before)[..., 0].astype(int) + 30
    with Image.open(photo('teapot/00', 'masks')) as mask:
        truth = np.array(mask) > 0
    assert (tinted & truth).sum() > 0.6 * (tinted | truth).sum()
    press(opened, 'Segment')
    assert len(thumbnails(opened, 'Results', 3)) == 3


def test_what_is_wrong_is_said(opened, photo, tmp_path):
    press(opened, 'Remove all')
    opened.get_by_role('button', name='Thumbnail').first.wait_for(state='detached')
    press(opened, 'Segment')
    message(opened, 'Add an annotated photo first.')
    press(opened, 'Add this photo')
    message(opened, 'Load a photo into the editor first')
    noise = np.random.RandomState(0).randint(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'large.png')
    upload(opened, 1, tmp_path / 'large.png')
    message(opened, 'exceed the maximum allowed size')
    opened.get_by_role('tab', name='Photo and mask').first.click()
    message(opened, 'Mask: not black')
    (tmp_path / 'text.jpg').write_text('no image')
    # the mask first: a place that has its file is none to give one to
    upload(opened, 2, photo('teapot/00', 'masks'))
    opened.locator('[aria-label="00.png"]').wait_for()
    upload(opened, 1, tmp_path / 'text.jpg')
    opened.locator('[aria-label="text.jpg"]').wait_for()
    press(opened, 'Add this pair')
    message(opened, 'text.jpg is damaged or no image')
