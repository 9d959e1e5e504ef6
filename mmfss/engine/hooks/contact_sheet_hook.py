import base64
import os.path as osp
from html import escape
from typing import Dict, List, NamedTuple, Optional, Sequence

import cv2
from mmengine.dist import gather_object
from mmengine.hooks import Hook

from mmfss.registry import HOOKS
from mmfss.structures import FewShotDataSample
from mmfss.utils import replacing
from mmfss.visualization import foreground_iou, to_rgb

_PAGE = '''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 1.5em; color: #222; background: #fff; }}
figure {{ display: inline-block; margin: 0 1em 1em 0; vertical-align: top; }}
img {{ max-width: 100%; display: block; }}
figcaption {{ font-size: .85em; color: #555; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
{sections}
</body>
</html>
'''


class _Episode(NamedTuple):
    iou: float
    caption: str
    jpeg: bytes


@HOOKS.register_module()
class ContactSheetHook(Hook):
    """After a test, shows its best, median and worst episodes on one page.

    The page is one HTML file that needs no other: support(s) with mask | query
    with prediction | query with ground truth, the class and the episode's IoU.
    Until the end the pictures of all episodes are held as JPEG, about 40 KB
    each with one support.

    Args:
        out_file (str, optional): The page. Defaults to None:
            ``contact_sheet.html`` beside the log.
        num (int): Episodes of each kind. Defaults to 8.

    Example:
        >>> custom_hooks = [dict(type='ContactSheetHook')]
    """

    def __init__(self, out_file: Optional[str] = None, num: int = 8) -> None:
        self.out_file = out_file
        self.num = num
        self._episodes: Dict[int, _Episode] = {}

    def after_test_iter(self,
                        runner,
                        batch_idx: int,
                        data_batch: Optional[dict] = None,
                        outputs: Sequence[FewShotDataSample] = ()) -> None:
        """Keep the pictures of a batch."""
        inputs = data_batch['inputs']
        for query, supports, sample in zip(inputs['query'], inputs['support'],
                                           outputs):
            picture = runner.visualizer.draw_episode(
                to_rgb(query), to_rgb(supports), sample)
            jpeg = cv2.imencode('.jpg', picture[..., ::-1],
                                [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
            iou = foreground_iou(sample.pred_sem_seg.data[0] == 1,
                                 sample.gt_sem_seg.data[0])
            self._episodes[sample.sample_idx] = _Episode(
                iou, f'{sample.class_name}: IoU {iou:.1f}, episode '
                f'{sample.sample_idx}, query {sample.query}', jpeg)

    def after_test_epoch(self, runner, metrics: Optional[dict] = None) -> None:
        """Write the page, with the episodes of all processes."""
        gathered = gather_object(self._episodes)
        self._episodes = {}
        if not gathered:  # not the first process
            return
        episodes = {n: e for part in gathered for n, e in part.items()}
        # equal ones by their number, so that the page depends on nothing else
        ranked = sorted(
            (episodes[n] for n in sorted(episodes)), key=lambda e: -e.iou)
        title = 'Contact sheet: ' + osp.basename(runner.cfg.filename or 'test')
        figures = ', '.join(f'{name} {value:.1f}' for name, value in
                            (metrics or {}).items() if name in ('mIoU', 'FB-IoU'))
        path = self.out_file or osp.join(runner.log_dir, 'contact_sheet.html')
        with replacing(path) as temporary:
            with open(temporary, 'w', encoding='utf-8') as file:
                file.write(_PAGE.format(
                    title=escape(title),
                    summary=escape(
                        f'{len(ranked)} episodes; {figures}; checkpoint '
                        f'{runner._load_from or "none"}'),
                    sections=self._sections(ranked)))
        runner.logger.info(f'The contact sheet is in {path}')

    def _sections(self, ranked: List[_Episode]) -> str:
        num = min(self.num, len(ranked))
        middle = (len(ranked) - num) // 2
        parts = []
        for title, episodes in (('Best', ranked[:num]),
                                ('Median', ranked[middle:middle + num]),
                                ('Worst', ranked[:-num - 1:-1])):
            parts.append(f'<h2>{title}</h2>')
            for episode in episodes:
                caption = escape(episode.caption)
                data = base64.b64encode(episode.jpeg).decode()
                parts.append(
                    f'<figure><img alt="{caption}" src="data:image/jpeg;base64,'
                    f'{data}"><figcaption>{caption}</figcaption></figure>')
        return '\n'.join(parts)
