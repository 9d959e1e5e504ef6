import os
from collections import defaultdict
from itertools import count
from typing import Any, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config, ConfigDict
from mmengine.infer.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer
from rich.progress import track
from torch import Tensor, nn

from mmfss.datasets.annotations import AnnotationType
from mmfss.datasets.annotations.image_files import ImageType
from mmfss.datasets.transforms.pack_few_shot_inputs import to_tensor
from mmfss.models.backbones import FeatureCache, init_without_checkpoint
from mmfss.models.segmentors import FewShotSegmentor
from mmfss.registry import TRANSFORMS

from .configs import image_transforms, read_config
from .images import list_images, read_image, read_support
from .merge_classes import merge_classes
from .result_writer import ResultWriter, palette
from .support_scores import score_supports
from .support_set import SupportSet

MAX_CLASSES = 255  # masks are uint8


class FewShotInferencer(BaseInferencer):
    """Segment your own classes from a few annotated images of each.

    Images are prepared as the config's test pipeline does after loading.
    Images and masks count as displayed: a photo is turned as its EXIF says, a
    mask as its own, and results fit the photo as displayed.

    Args:
        model (str | Path | dict): A config or its path, or the name of a model
            that comes with mmfss, weights included: 'hsnet_mobilenetv2'.
        weights (str, optional): The checkpoint, a path or https URL. Defaults
            to the config's ``load_from``. A model that is not trained needs
            none.
        device (str, optional): Defaults to the GPU, if there is one.
        scope (str): Scope of the registries. Defaults to 'mmfss'.
        show_progress (bool): Show a progress bar. Defaults to True.

    Raises:
        FileNotFoundError: There is no such config, model or checkpoint.
        ValueError: There are no weights, they don't fit, or the model is no
            few-shot segmentor.

    Example::

        inferencer = FewShotInferencer('hsnet_mobilenetv2')
        inferencer.fit(['1.jpg', '2.jpg'], ['1.png', '2.png'], 'teapot')
        result = inferencer(['a.jpg', 'folder/'], out_dir='out')
    """

    def __init__(self,
                 model: Union[str, os.PathLike, dict, Config],
                 weights: Optional[str] = None,
                 device: Optional[str] = None,
                 scope: str = 'mmfss',
                 show_progress: bool = True) -> None:
        init_default_scope(scope)
        if (device is not None and torch.device(device).type == 'cuda'
                and not torch.cuda.is_available()):
            raise ValueError(f'device={str(device)!r}: there is no CUDA here.')
        if isinstance(model, (str, os.PathLike)):
            model = read_config(os.fspath(model))
        elif not isinstance(model, (dict, Config)):
            raise TypeError(f'model must be a config or its path, not {model!r}.')
        weights = weights or model.get('load_from')
        super().__init__(model, os.fspath(weights) if weights else None, device,
                         scope, show_progress)
        if not isinstance(self.model, FewShotSegmentor):
            raise ValueError(
                f'FewShotInferencer needs a few-shot segmentor, the config has '
                f'{type(self.model).__name__}.')
        if self.model.feature_cache is None:
            # each image once through the backbone, also where it is used again
            self.model.feature_cache = FeatureCache(
                self.model.taps, self.cfg.model.backbone, memory_gb=1)
        self.support_set = SupportSet(self.model, self.cfg.model,
                                      image_transforms(self.cfg))
        self._numbers = count(1)  # of the images in all calls

    def fit(self,
            images: Union[ImageType, Sequence[ImageType]],
            masks: Union[AnnotationType, Sequence[AnnotationType]],
            class_name: str = 'object') -> 'FewShotInferencer':
        """Encode the annotated images of a class, once for all queries.

        Call it once per class; a class that is there already is replaced.

        Args:
            images: One or more images that show the class: paths, arrays
                (BGR, uint8) or PIL images, of any sizes.
            masks: One per image: a mask of its size, not zero is the object;
                a path of outlines that ends in ``.json``, of LabelMe or COCO;
                or a rough hint that OpenCV's GrabCut makes into a mask:
                ``dict(box=(x1, y1, x2, y2))``, ``dict(point=(x, y))`` or
                ``dict(scribble=[(x, y), ...])``. See
                :class:`mmfss.datasets.annotations.SupportAnnotation`.
            class_name (str): Also the label or category in a JSON file.
                Defaults to 'object'.

        Returns:
            FewShotInferencer: Itself.

        Raises:
            ImportError: pycocotools, needed for a file of COCO, is missing.
            ValueError: An image or mask cannot be used.
        """
        images, masks = ([x] if not isinstance(x, (list, tuple)) else x
                         for x in (images, masks))
        if not images or len(images) != len(masks):
            raise ValueError(
                f'class {class_name!r}: {len(images)} image(s) and {len(masks)} '
                'mask(s); give one mask per image, and at least one of each.')
        if class_name not in self.classes and len(self.classes) == MAX_CLASSES:
            raise ValueError(f'There can be at most {MAX_CLASSES} classes.')
        pairs = (self.read_support(image, mask, class_name)
                 for image, mask in zip(images, masks))
        return self.fit_read(pairs, class_name)

    @staticmethod
    def read_support(image: ImageType, mask: AnnotationType,
                     class_name: str) -> dict:
        """Read an annotated image of a class, see :func:`read_support`."""
        try:
            return read_support(image, mask, class_name)
        except ValueError as error:
            raise ValueError(f'class {class_name!r}: {error}') from error

    def fit_read(self, pairs: Iterable[dict],
                 class_name: str) -> 'FewShotInferencer':
        """Encode annotated images that were read.

        Args:
            pairs (Iterable[dict]): Of :meth:`read_support`.
            class_name (str): See :meth:`fit`.

        Returns:
            FewShotInferencer: Itself.
        """
        by_size = defaultdict(list)
        for pair in pairs:
            prepared = self.pipeline(dict(pair))
            img, seg_map = prepared['img'], prepared['gt_seg_map']
            if not seg_map.any():
                raise ValueError(
                    f'class {class_name!r}: the object in {pair["img_path"]} is so '
                    f'small that nothing of it is left at {img.shape[:2]} (height, '
                    'width). Cut the image to its surroundings.')
            by_size[img.shape].append((to_tensor(img), torch.from_numpy(seg_map) == 1))
        self.support_set.add(class_name, [
            (self._normalized('support', torch.stack(images))[0],
             torch.stack(masks).to(self._device))
            for images, masks in (zip(*group) for group in by_size.values())
        ])
        return self

    @property
    def classes(self) -> Tuple[str, ...]:
        """tuple[str]: The classes; the first has index 1 in the masks."""
        return self.support_set.classes

    def save_support(self, path: str) -> None:
        """Write the fitted classes to one file, whole or not at all."""
        self.support_set.save(path)

    def load_support(self, path: str) -> 'FewShotInferencer':
        """Replace the fitted classes by those of a file.

        Args:
            path (str): Of :meth:`save_support`, with the same model.

        Returns:
            FewShotInferencer: Itself.

        Raises:
            FileNotFoundError: There is no such file.
            RuntimeError: The file is damaged, or could run code.
            ValueError: It is no such file, or of another model.
        """
        self.support_set.load(path, self._device)
        return self

    def score_supports(self,
                       images: Sequence[ImageType],
                       masks: Sequence[AnnotationType],
                       class_name: str = 'object',
                       score_thr: float = 0.5) -> List[dict]:
        """Find out which annotated images help, without other images.

        Each is segmented with the others as supports. The classes that are
        fitted stay as they are.

        Args:
            images: Two or more, see :meth:`fit`.
            masks: See :meth:`fit`.
            class_name (str): See :meth:`fit`. Defaults to 'object'.
            score_thr (float): See :meth:`__call__`.

        Returns:
            list[dict]: Per image ``name`` and, in percent, ``iou``: of its
            object, segmented with the others; ``iou_alone``: the mean over the
            others, segmented with it alone; ``gain``: by how much the others'
            mean IoU is higher with it among the supports than without it,
            None of two images. Compare gains with each other: the vote of an
            even number of supports is the more generous, which shifts them
            all.

        Raises:
            ValueError: There are fewer than two, or one cannot be used.
        """
        return score_supports(self, images, masks, class_name, score_thr)

    def __call__(self,
                 inputs: Union[ImageType, Sequence[ImageType]],
                 out_dir: str = '',
                 score_thr: float = 0.5,
                 presence_thr: float = 0.3,
                 return_masks: bool = True,
                 return_vis: bool = False) -> dict:
        """Segment images, one after the other.

        Several threads may, while none fits, loads or scores supports; one at a
        time runs the backbone.

        Args:
            inputs: Paths, folders, glob patterns, arrays (BGR, uint8) or PIL
                images; one or several, of any sizes.
            out_dir (str): Write ``pred/<name>.png`` (class indices),
                ``vis/<name>.jpg`` and, where pycocotools is installed,
                ``predictions.json`` (COCO) there. Each image's files are
                written at once. Defaults to '': write nothing.
            score_thr (float): A support calls a pixel foreground whose score is
                above it; the supports' votes are merged as in testing. Where
                several classes claim a pixel, the best mean score wins.
                Defaults to 0.5.
            presence_thr (float): A class whose presence is below it gets no
                pixel. The presence says how alike the deepest features of what
                was found are to those of the nearest annotated object, 0 to 1.
                0: take every class for present. Defaults to 0.3.
            return_masks (bool): False leaves the masks out of the result, to
                save memory. Defaults to True.
            return_vis (bool): Return pictures. Defaults to False.

        Returns:
            dict: ``classes``; ``predictions``, a list of dicts with ``name``,
            ``mask`` (uint8, ``(H, W)``, 0 is background, 1 the first class),
            ``scores`` (by class name: the mean score of its pixels) and
            ``presence`` (by class name); ``visualization``, a list of RGB
            arrays; ``failed``, a list of dicts with ``name`` and ``error`` of
            the images that could not be used.

        Raises:
            ValueError: Nothing was fitted, or no image could be used.
        """
        if not self.classes:
            raise ValueError('Call fit() with annotated images first.')
        if not 0 < score_thr < 1 or not 0 <= presence_thr <= 1:
            raise ValueError('score_thr and presence_thr must be between 0 and 1, '
                             f'not {score_thr} and {presence_thr}.')
        sources = self._inputs_to_list(inputs)
        writer = ResultWriter(out_dir, self.classes) if out_dir else None
        predictions, pictures, failed = [], [], []
        for source in (track(sources, description='Inference')
                       if self.show_progress else sources):
            number = next(self._numbers)
            name = (os.fspath(source) if isinstance(source, (str, os.PathLike))
                    else f'{number:08d}')
            try:
                image = read_image(source)
                query = self.preprocess(image)
            except ValueError as error:
                about = '' if name in str(error) else f'{name}: '
                failed.append(dict(name=name, error=f'{about}{error}'))
                continue
            prediction = self.forward(query, image.shape[:2], score_thr,
                                      presence_thr)
            prediction['name'] = name
            if writer or return_vis:
                picture = self.visualize(image, prediction)
            if writer:
                writer.write(prediction, picture)
            if return_vis:
                pictures.append(picture)
            if not return_masks:
                del prediction['mask']
            predictions.append(prediction)
        if writer:
            writer.finish()
        return self.postprocess(predictions, pictures, failed)

    def _inputs_to_list(self, inputs: Any) -> list:
        return list_images(inputs)

    def preprocess(self, image: np.ndarray) -> Tensor:
        """Prepare a query.

        Args:
            image (np.ndarray): BGR, uint8, ``(H, W, 3)``.

        Returns:
            Tensor: Normalised, ``(1, 3, h, w)``, on the device.
        """
        return self._normalized(
            'query', to_tensor(self.pipeline(dict(img=image))['img']))

    @torch.no_grad()
    def forward(self, query: Tensor, size: Tuple[int, int], score_thr: float,
                presence_thr: float) -> dict:
        """Segment one query.

        Args:
            query (Tensor): Of :meth:`preprocess`.
            size (tuple[int, int]): The mask's height and width.
            score_thr (float): See :meth:`__call__`.
            presence_thr (float): See :meth:`__call__`.

        Returns:
            dict: ``mask``, ``scores`` and ``presence``, see :meth:`__call__`.
        """
        logits, presence = self.support_set.segment(query, score_thr)
        logits = {  # on the CPU: the mask may be as large as a photo
            name: logit.cpu() if presence[name] >= presence_thr else None
            for name, logit in logits.items()
        }
        mask, scores = merge_classes(logits, size, score_thr)
        return dict(mask=mask.numpy(), scores=scores, presence=presence)

    def visualize(self, image: np.ndarray, prediction: dict) -> np.ndarray:
        """Draw a mask over its image.

        Args:
            image (np.ndarray): BGR, uint8, ``(H, W, 3)``.
            prediction (dict): Of :meth:`forward`.

        Returns:
            np.ndarray: RGB, uint8.
        """
        return self.visualizer.draw_classes(
            image[..., ::-1], prediction['mask'], self.classes,
            palette(len(self.classes)))

    def postprocess(self, predictions: List[dict], pictures: List[np.ndarray],
                    failed: List[dict]) -> dict:
        """Put the result together, and report the images that failed.

        Returns:
            dict: See :meth:`__call__`.

        Raises:
            ValueError: All images failed.
        """
        report = '\n'.join(f['error'] for f in failed)
        if not predictions:
            raise ValueError(f'No image could be segmented.\n{report}')
        if failed:
            print_log(
                f'{len(failed)} of {len(failed) + len(predictions)} images could '
                f'not be segmented:\n{report}',
                logger='current',
                level=30)
        return dict(
            classes=self.classes,
            predictions=predictions,
            visualization=pictures,
            failed=failed)

    def _init_pipeline(self, cfg: ConfigDict) -> Compose:
        return Compose([TRANSFORMS.build(t) for t in image_transforms(cfg)])

    def _load_weights_to_model(self, model: nn.Module,
                               checkpoint: Optional[dict],
                               cfg: Optional[ConfigDict]) -> None:
        """Without a checkpoint: only for a model that is not trained."""
        if checkpoint is None:
            init_without_checkpoint(model)
        else:
            super()._load_weights_to_model(model, checkpoint, cfg)

    def _init_visualizer(self, cfg: ConfigDict) -> Visualizer:
        """Without backends: it draws, and the inferencer writes."""
        drawing = ConfigDict(visualizer=dict(
            cfg.get('visualizer') or dict(type='FewShotVisualizer'),
            vis_backends=None))
        return super()._init_visualizer(drawing)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _normalized(self, key: str, images: Tensor) -> Tensor:
        data = self.model.data_preprocessor(dict(inputs={key: [images]}))
        return data['inputs'][key]
