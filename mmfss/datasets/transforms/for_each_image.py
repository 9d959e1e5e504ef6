from typing import Callable, List, Union

from mmcv.transforms import BaseTransform, Compose

from mmfss.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ForEachImage(BaseTransform):
    """Apply the same per-image transforms to the query and to each support.

    Any transform of mmcv or mmseg for one image with ``img`` and
    ``gt_seg_map`` can be among them.

    Required and modified keys: ``query`` (dict), ``supports`` (list[dict]).

    Args:
        transforms (list[dict | callable]): Transforms of a single image.

    Raises:
        RuntimeError: A transform failed; the message names the image's files.
    """

    def __init__(self, transforms: List[Union[dict, Callable]]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> dict:
        """Transform an episode's images."""
        results['query'] = self._apply(results['query'])
        results['supports'] = [self._apply(s) for s in results['supports']]
        return results

    def _apply(self, image: dict) -> dict:
        try:
            return self.transforms(image)
        except Exception as error:
            raise RuntimeError(
                f'Cannot use image {image["img_path"]} with mask '
                f'{image["seg_map_path"]}: {error}') from error

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.transforms})'
