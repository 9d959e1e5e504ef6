"""Segment a photo with a model of tools/export.py: no mmfss, no PyTorch.

pip install numpy pillow onnxruntime
python demo/onnx_inference.py MODEL.onnx PHOTO MASK.png
"""
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def segment(model: str, photo: str) -> Image.Image:
    """The mask of a photo, of its size; white is the object."""
    session = onnxruntime.InferenceSession(
        model, providers=['CPUExecutionProvider'])
    height, width = session.get_inputs()[0].shape[1:3]
    image = ImageOps.exif_transpose(Image.open(photo)).convert('RGB')
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    logits, mask = session.run(None, {'images': np.asarray(small)[None]})
    # as large as the photo, with smooth edges
    mask = Image.fromarray(mask[0] * 255).resize(
        image.size, Image.Resampling.BILINEAR)
    return mask.point(lambda value: 255 if value >= 128 else 0)


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    segment(sys.argv[1], sys.argv[2]).save(sys.argv[3])
