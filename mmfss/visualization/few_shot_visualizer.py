from functools import lru_cache
from typing import Sequence, Tuple, Union

import cv2
import numpy as np
from mmengine.visualization import Visualizer
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mmfss.registry import VISUALIZERS
from mmfss.structures import FewShotDataSample

SUPPORT, PREDICTION, TRUTH = (255, 165, 0), (230, 30, 60), (30, 160, 70)
MAX_SIDE = 2048  # of a picture of classes


@VISUALIZERS.register_module()
class FewShotVisualizer(Visualizer):
    """Draws an episode: support(s) | query with prediction | with ground truth.

    Args:
        height (int): Of the panels, in pixels. Defaults to 240.
        alpha (float): Opacity of the masks. Defaults to 0.5.
        **kwargs: As of :class:`mmengine.visualization.Visualizer`.
    """

    def __init__(self,
                 name: str = 'visualizer',
                 height: int = 240,
                 alpha: float = 0.5,
                 **kwargs) -> None:
        super().__init__(name, **kwargs)
        self.height = height
        self.alpha = alpha

    def draw_episode(self, query: np.ndarray, supports: Sequence[np.ndarray],
                     data_sample: FewShotDataSample) -> np.ndarray:
        """Draw one episode.

        Args:
            query (np.ndarray): RGB, uint8, ``(H, W, 3)``.
            supports (Sequence[np.ndarray]): The K supports, likewise.
            data_sample (FewShotDataSample): With ``support_masks``; with
                ``pred_sem_seg`` and ``gt_sem_seg`` as far as there are any.

        Returns:
            np.ndarray: The picture, RGB, uint8.
        """
        name = data_sample.get('class_name', '')
        shape = data_sample.get('ori_shape', query.shape[:2])
        shapes = data_sample.get('support_ori_shapes',
                                 [s.shape[:2] for s in supports])
        panels = []
        for k, image in enumerate(supports):
            number = f' {k + 1}' if len(supports) > 1 else ''
            panels.append(
                self._panel(image, data_sample.support_masks[k] == 1, SUPPORT,
                            f'support{number}: {name}', shapes[k]))
        pred = truth = None
        if 'gt_sem_seg' in data_sample:
            truth = data_sample.gt_sem_seg.data[0]
        if 'pred_sem_seg' in data_sample:
            pred = data_sample.pred_sem_seg.data[0] == 1
            title = 'prediction'
            if truth is not None:
                title += f': IoU {foreground_iou(pred, truth):.1f}'
            panels.append(self._panel(query, pred, PREDICTION, title, shape))
        if truth is not None:
            panels.append(
                self._panel(query, truth == 1, TRUTH, 'ground truth', shape))
        return np.concatenate(panels, axis=1)

    def draw_classes(self, image: np.ndarray, mask: np.ndarray,
                     classes: Sequence[str],
                     colors: Sequence[Sequence[int]]) -> np.ndarray:
        """Draw a mask of several classes over its image, with a legend.

        Args:
            image (np.ndarray): RGB, uint8, ``(H, W, 3)``.
            mask (np.ndarray): uint8, ``(H, W)``; 0 is background, n the n-th
                class.
            classes (Sequence[str]): Their names.
            colors (Sequence[Sequence[int]]): RGB of each.

        Returns:
            np.ndarray: RGB, uint8, at most :data:`MAX_SIDE` pixels high or wide.
        """
        shrink = MAX_SIDE / max(image.shape)
        if shrink < 1:
            size = [max(1, round(side * shrink)) for side in mask.shape[::-1]]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        painted = np.array([(0, 0, 0), *colors], np.uint8)[mask]
        blend = cv2.addWeighted(image, 1 - self.alpha, painted, self.alpha, 0)
        picture = np.where(mask[..., None] > 0, blend, image)
        side = max(mask.shape)
        canvas = Image.fromarray(picture)
        draw = ImageDraw.Draw(canvas)
        font, y = _font(max(12, side // 40)), 0
        for index in np.unique(mask[mask > 0]):
            box = draw.textbbox((4, y + 4), classes[index - 1], font=font)
            draw.rectangle((0, y, box[2] + 4, box[3] + 4), tuple(colors[index - 1]))
            draw.text((4, y + 4), classes[index - 1], 'white', font,
                      stroke_width=1, stroke_fill='black')
            y = box[3] + 5
        return np.asarray(canvas)

    def _panel(self,
               image: np.ndarray,
               mask,
               color: Tuple[int, int, int],
               title: str, shape: Tuple[int, int]) -> np.ndarray:
        """One image under its mask, in its original aspect ratio."""
        mask = mask.cpu().numpy().astype(np.uint8)
        rows, columns = shape
        size = (max(1, round(columns * self.height / rows)), self.height)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        blend = (1 - self.alpha) * image + self.alpha * np.array(color)
        image = np.where(mask[..., None] == 1, blend, image).astype(np.uint8)
        outline, _ = cv2.findContours(mask, cv2.RETR_LIST,
                                      cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outline, -1, color, thickness=2)

        font = _font(13)
        width = max(size[0], int(font.getlength(title)) + 4)
        canvas = Image.new('RGB', (width + 4, size[1] + 22), 'white')
        canvas.paste(Image.fromarray(image), (2, 20))
        ImageDraw.Draw(canvas).text((4, 1), title, fill=color, font=font)
        return np.asarray(canvas)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """That of matplotlib: usually Latin, Greek and Cyrillic letters."""
    # takes a third of a second
    from matplotlib.font_manager import FontProperties, findfont
    return ImageFont.truetype(findfont(FontProperties()), size)


def foreground_iou(pred: Union[Tensor, np.ndarray],
                   truth: Union[Tensor, np.ndarray]) -> float:
    """Foreground IoU of one mask, in percent, leaving out 255.

    Args:
        pred (Tensor | np.ndarray): bool, ``(H, W)``.
        truth (Tensor | np.ndarray): bool, or 0, 1 or 255, ``(H, W)``.
    """
    truth, pred = truth == 1, pred & (truth != 255)
    return 100 * float((pred & truth).sum()) / max(1, int((pred | truth).sum()))


def to_rgb(images: Tensor) -> np.ndarray:
    """BGR tensors ``(..., 3, H, W)`` to RGB arrays ``(..., H, W, 3)``."""
    return images.flip(-3).movedim(-3, -1).cpu().numpy()
