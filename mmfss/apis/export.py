"""Write a fitted segmentor to a file that runs without mmfss."""
from typing import Callable, List, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmfss.models.layers import kshot_vote
from mmfss.utils import replacing

from .few_shot_inferencer import FewShotInferencer
from .fitted_segmentor import FittedSegmentor

#: Most that a logit may differ from PyTorch's, and least share of equal pixels
MAX_DIFFERENCE, MIN_AGREEMENT = 1e-3, 0.999


def export_fitted(inferencer: FewShotInferencer, class_name: str, path: str,
                  format: str, photos: List[np.ndarray]) -> dict:
    """Export a class that was fitted, and compare the file with the model.

    The file takes ``images``, RGB, uint8, ``(B, H, W, 3)``, of the size of the
    config's test pipeline, in batches of any size, and gives what
    :class:`FittedSegmentor` gives. It is written whole or not at all.

    Args:
        inferencer (FewShotInferencer): On the CPU, with the class fitted.
        class_name (str): The class.
        path (str): The file to write.
        format (str): 'onnx' or 'torchscript'.
        photos (list[np.ndarray]): To compare on, BGR, uint8, ``(H, W, 3)``,
            of any sizes; at least one.

    Returns:
        dict: ``size`` (height, width); ``difference`` (the largest, of a logit)
        and ``agreement`` (share of equal mask pixels) on the photos, one at a
        time and all in a batch; both None where onnxruntime is missing.

    Raises:
        ImportError: What writes ONNX is not installed.
        ValueError: The class was not fitted, or the config has no fixed size.
        RuntimeError: The file does not compute what the model does.
    """
    if class_name not in inferencer.classes:
        raise ValueError(f'There is no class {class_name!r}, but '
                         f'{", ".join(inferencer.classes) or "none"}.')
    size = _fixed_size(inferencer)
    groups = [g['encoded'] for g in inferencer.support_set.supports[class_name]]
    segmentor = FittedSegmentor(inferencer.model, groups)
    write, load = dict(
        onnx=(_write_onnx, _load_onnx),
        torchscript=(_write_torchscript, _load_torchscript))[format]
    result = dict(size=size, difference=None, agreement=None)
    with replacing(path) as temporary, torch.no_grad():
        write(segmentor, size, temporary)
        try:
            run = load(temporary)
        except ImportError:  # onnxruntime
            return result
        result.update(_compare(run, inferencer, groups, photos))
        if not (result['difference'] <= MAX_DIFFERENCE
                and result['agreement'] >= MIN_AGREEMENT):
            raise RuntimeError(
                f'What was exported differs from the model: logits by up to '
                f'{result["difference"]:.2g} (at most {MAX_DIFFERENCE}), '
                f'{result["agreement"]:.2%} of the pixels are equal (at least '
                f'{MIN_AGREEMENT:.1%}). {path} was not written.')
    return result


def _fixed_size(inferencer: FewShotInferencer) -> Tuple[int, int]:
    """Height and width that the test pipeline makes of any image."""
    sizes = {
        inferencer.pipeline(dict(img=np.zeros((*s, 3), np.uint8)))['img'].shape[:2]
        for s in ((200, 300), (300, 200))
    }
    if len(sizes) > 1:
        raise ValueError(
            'An exported model has one image size, but the config\'s test pipeline '
            f'makes {sorted(sizes)} of two images. Give its ResizeFewShot a scale, '
            'without keep_ratio.')
    return sizes.pop()


def _write_onnx(segmentor: FittedSegmentor, size: Tuple[int, int],
                path: str) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError('ONNX needs onnx, onnxscript and onnxruntime: '
                          'pip install -e ".[export]"') from error
    torch.onnx.export(
        segmentor, (torch.zeros(2, *size, 3, dtype=torch.uint8), ),
        path,
        input_names=['images'],
        output_names=['logits', 'mask'],
        dynamic_shapes=({0: torch.export.Dim('batch', min=1)}, ),
        dynamo=True,
        external_data=False,
        verbose=False)


def _load_onnx(path: str) -> Callable:
    import onnxruntime
    session = onnxruntime.InferenceSession(
        path, providers=['CPUExecutionProvider'])

    def run(images: Tensor) -> List[Tensor]:
        outputs = session.run(None, dict(images=images.numpy()))
        return [torch.from_numpy(x) for x in outputs]

    return run


def _write_torchscript(segmentor: FittedSegmentor, size: Tuple[int, int],
                       path: str) -> None:
    image = torch.zeros(1, *size, 3, dtype=torch.uint8)
    # torch.export first: it sees through hooks and autograd functions
    graph = torch.export.export(segmentor, (image, )).module(check_guards=False)
    # a new module has the graph's weights, and none of its checks of the input
    graph = torch.fx.GraphModule(graph, graph.graph)
    traced = torch.jit.trace(graph, image, check_trace=False)
    torch.jit.script(_EachImage(traced)).save(path)


class _EachImage(nn.Module):
    """Runs a network of one image on a batch."""

    def __init__(self, one: nn.Module) -> None:
        super().__init__()
        self.one = one

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        logits, masks = [], []
        for image in images.split(1):
            logit, mask = self.one(image)
            logits.append(logit)
            masks.append(mask)
        return torch.cat(logits), torch.cat(masks)


def _load_torchscript(path: str) -> Callable:
    return torch.jit.load(path)


def _compare(run: Callable, inferencer: FewShotInferencer, groups: list,
             photos: List[np.ndarray]) -> dict:
    """Largest difference of a logit, and share of equal mask pixels."""
    prepared = [inferencer.pipeline(dict(img=p))['img'] for p in photos]
    images = torch.from_numpy(np.stack(prepared)[..., ::-1].copy())
    logits, masks = [], []
    for photo in photos:
        query = inferencer.preprocess(photo)
        logit = torch.cat(
            [inferencer.model.segment(query, group) for group in groups], dim=1)[0]
        logit = F.interpolate(
            logit, images.shape[1:3], mode='bilinear', align_corners=True)
        logits.append(logit.mean(dim=0))
        masks.append(kshot_vote((logit[:, 1] > logit[:, 0])[None])[0])
    # one at a time, and all at once
    outputs = [run(image) for image in images.split(1)] + [run(images)]
    difference = torch.cat([x for x, _ in outputs]) - torch.stack(logits * 2)
    equal = torch.cat([x for _, x in outputs]) == torch.stack(masks * 2)
    return dict(
        difference=float(difference.abs().max()),
        agreement=float(equal.float().mean()))
