"""A web page to try a few-shot model: annotate photos, segment others.

pip install -e ".[demo]"
python demo/app.py [MODEL [WEIGHTS]]
"""
import argparse
import os.path as osp
from typing import Any, Callable, Optional

import gradio as gr
import numpy as np

from mmfss.apis import FewShotInferencer
from mmfss.apis.images import ImageType, read_image, read_support
from mmfss.datasets.annotations import AnnotationType
from mmfss.datasets.folder_dataset import IMG_SUFFIXES

REPO = osp.dirname(osp.dirname(osp.abspath(__file__)))
PHOTOS = osp.join(REPO, 'demo', 'data', 'objects30')
MAX_SUPPORTS, MAX_QUERIES = 5, 10
IMAGES = list(IMG_SUFFIXES)
OBJECT, SCRIBBLE, BOX = 'the object', 'a scribble on it', 'a box around it'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Try a few-shot model in a browser.')
    parser.add_argument(
        'model', nargs='?', default='hsnet_mobilenetv2',
        help='a model that comes with mmfss, or a config file; default: '
        'hsnet_mobilenetv2')
    parser.add_argument(
        'weights', nargs='?', help='checkpoint file or https URL of a config')
    parser.add_argument('--device', help='default: the GPU, if there is one')
    parser.add_argument(
        '--host', default='127.0.0.1',
        help='address to listen at; default: 127.0.0.1, this computer only')
    parser.add_argument('--port', type=int, default=7860, help='default: 7860')
    parser.add_argument(
        '--max-file-size', default='20mb', help='of an upload; default: 20mb')
    return parser.parse_args()


def uploaded(reader: Callable, *files: str) -> Any:
    """Read uploads; what is wrong with them is a message on the page."""
    try:
        return reader(*files)
    except ValueError as error:
        reason = str(error)
        for file in files:
            if isinstance(file, str):  # not where the server keeps it
                reason = reason.replace(file, osp.basename(file))
        raise gr.Error(reason) from error


def add_painted(supports: list, editor: Optional[dict], meaning: str) -> list:
    """Add the editor's photo, with the mask that its strokes give."""
    if not editor or editor['background'] is None:
        raise gr.Error('Load a photo into the editor first, then paint the object.')
    image = editor['background'][..., 2::-1]  # RGBA to BGR
    painted = np.zeros(image.shape[:2], bool)
    for layer in editor['layers']:
        painted |= layer[..., 3] > 0
    if not painted.any():
        raise gr.Error('Nothing is painted. Choose the brush and paint '
                       f'{meaning}.')
    if meaning == OBJECT:
        return add(supports, image, painted)
    if meaning == SCRIBBLE:
        return add(supports, image, dict(scribble=painted))
    rows, columns = (np.flatnonzero(painted.any(axis=axis)) for axis in (1, 0))
    box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return add(supports, image, dict(box=tuple(map(int, box))))


def add_files(supports: list, image: str, mask: str) -> list:
    """Add a photo and a mask that were uploaded."""
    if not image or not mask:
        raise gr.Error('Choose a photo and its mask.')
    return add(supports, image, mask)


def add(supports: list, image: ImageType, mask: AnnotationType) -> list:
    """Check a support, and add it to those there are, with its mask."""
    if len(supports) == MAX_SUPPORTS:
        raise gr.Error(f'There can be at most {MAX_SUPPORTS} annotated photos. '
                       'Clear them first.')
    pair = uploaded(read_support, image, mask)
    return [*supports, (pair['img'], pair['gt_seg_map'] > 0)]


def pictures(supports: list) -> list:
    """The annotated photos, their objects tinted."""
    shown = []
    for image, mask in supports:
        image = image[..., ::-1].copy()  # BGR to RGB
        image[mask] = image[mask] // 2 + np.uint8([127, 0, 0])
        shown.append(image)
    return shown


def build(inferencer: FewShotInferencer) -> gr.Blocks:
    """The page."""

    def segment(supports, files, score_thr, presence_thr):
        if not supports:
            raise gr.Error('Add an annotated photo first.')
        if not files:
            raise gr.Error('Choose photos to segment.')
        if len(files) > MAX_QUERIES:
            raise gr.Error(f'{len(files)} photos are too many: at most {MAX_QUERIES} '
                           'at a time.')
        photos = [uploaded(read_image, file) for file in files]
        images, masks = zip(*supports)
        try:
            inferencer.fit(list(images), list(masks))
            result = inferencer(
                photos, score_thr=score_thr, presence_thr=presence_thr,
                return_vis=True)
        except ValueError as error:
            raise gr.Error(str(error)) from error
        rows = [[
            osp.basename(file), round(p['scores']['object'], 3),
            round(p['presence']['object'], 3),
            round(100 * float((p['mask'] > 0).mean()), 1)
        ] for file, p in zip(files, result['predictions'])]
        masks = [p['mask'] * np.uint8(255) for p in result['predictions']]
        captions = [f'{row[0]}: {"found" if mask.any() else "not found"}'
                    for row, mask in zip(rows, masks)]
        return list(zip(result['visualization'], captions)), masks, rows

    def example():
        path = osp.join(PHOTOS, '{}', 'teapot', '{}')
        supports = []
        for n in (0, 1):
            supports = add_files(supports, path.format('images', f'0{n}.jpg'),
                                 path.format('masks', f'0{n}.png'))
        queries = [osp.join(PHOTOS, 'images', name)
                   for name in ('teapot/04.jpg', 'teapot/03.jpg', 'clock/00.jpg')]
        return supports, queries

    with gr.Blocks(title='mmfss') as page:
        gr.Markdown('# Segment your own thing from a few annotated photos')
        supports = gr.State([])
        look = dict(columns=3, fit_columns=False, object_fit='contain')
        with gr.Row():
            with gr.Column():
                gr.Markdown('## 1. Annotate')
                with gr.Tab('Paint'):
                    editor = gr.ImageEditor(
                        label='Photo: paint on it', sources=['upload'],
                        transforms=[], format='png', layers=False,
                        brush=gr.Brush(colors=['#ff0000'], color_mode='fixed'))
                    meaning = gr.Radio(
                        [OBJECT, SCRIBBLE, BOX], value=OBJECT, label='I painted',
                        info='Of a scribble or a box, GrabCut makes a mask. A box '
                        'is the smallest that holds all that is painted.')
                    add_paint = gr.Button('Add this photo')
                with gr.Tab('Photo and mask'):
                    image = gr.File(label='Photo', file_types=IMAGES)
                    mask = gr.File(
                        label='Mask: not black is the object', file_types=IMAGES)
                    add_pair = gr.Button('Add this pair')
                gallery = gr.Gallery(
                    label='Annotated photos', interactive=False, height=240, **look)
                clear = gr.Button('Remove all')
            with gr.Column():
                gr.Markdown('## 2. Segment')
                queries = gr.File(
                    label=f'Photos, at most {MAX_QUERIES}', file_count='multiple',
                    file_types=IMAGES)
                score = gr.Slider(0.05, 0.95, 0.5, label='Least score of a pixel')
                presence = gr.Slider(
                    0, 1, 0.3, label='Least presence; 0: the object is everywhere')
                run = gr.Button('Segment', variant='primary')
                results = gr.Gallery(label='Results', format='png', **look)
                masks = gr.Gallery(label='Masks', format='png', **look)
                table = gr.Dataframe(
                    headers=['photo', 'score', 'presence', 'object, % of pixels'])
        show = dict(fn=pictures, inputs=supports, outputs=gallery, api_name=False)
        add_paint.click(
            add_painted, [supports, editor, meaning], supports,
            api_name='add_painted').success(**show)
        add_pair.click(
            add_files, [supports, image, mask], supports,
            api_name='add_files').success(**show)
        page.load(
            example, None, [supports, queries],
            api_name='example').success(**show)
        clear.click(list, None, supports, api_name='clear').success(**show)
        # one at a time: all visitors share the model
        run.click(
            segment, [supports, queries, score, presence],
            [results, masks, table], api_name='segment', concurrency_limit=1)
    return page


def main() -> None:
    args = parse_args()
    try:
        inferencer = FewShotInferencer(
            args.model, args.weights, args.device, show_progress=False)
    except (ValueError, OSError, RuntimeError) as error:
        raise SystemExit(f'app.py: {error}') from error
    build(inferencer).launch(
        server_name=args.host, server_port=args.port, allowed_paths=[PHOTOS],
        max_file_size=args.max_file_size, share=False)


if __name__ == '__main__':
    main()
