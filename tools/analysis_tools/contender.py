"""A form of the model, as the benchmarks run it."""
import argparse
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from get_flops import load_config
from measuring import Clock
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, load_checkpoint, set_random_seed
from mmengine.structures import PixelData
from textbook import Textbook
from torch import Tensor

from mmfss.models.layers import kshot_vote
from mmfss.registry import MODELS
from mmfss.structures import FewShotDataSample

AMP = dict(bf16=torch.bfloat16, fp16=torch.float16)
PHOTOS = (
    Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'objects30.py')


class Contender:
    """A model with what it takes to predict and to train.

    Two contenders of one config have the same weights: given ones, or random
    ones of the same seed.

    Args:
        args (Namespace): ``config``, ``cfg_options``, ``checkpoint``.
        textbook (bool): Compute as :class:`Textbook`. Defaults to False.
        amp (str, optional): 'bf16' or 'fp16': run under autocast.
    """

    def __init__(self,
                 args: argparse.Namespace,
                 textbook: bool = False,
                 amp: Optional[str] = None) -> None:
        self.device = get_device()
        set_random_seed(0)
        self.model = MODELS.build(load_config(args).model)
        if args.checkpoint:
            load_checkpoint(self.model, args.checkpoint, map_location='cpu')
        self.model.to(self.device)
        self.form = Textbook(self.model) if textbook else self.model
        self.textbook = textbook
        self.autocast = torch.autocast(
            self.device.split(':')[0], AMP.get(amp), enabled=amp is not None)
        self.optimizer = torch.optim.Adam(
            p for p in self.model.parameters() if p.requires_grad)
        self.scaler = torch.amp.GradScaler(self.device, enabled=amp == 'fp16')

    @torch.no_grad()
    def logits(self, data: dict) -> Tensor:
        """Of a collated batch, ``(B, K, 2, h, w)``, float32."""
        self._train(False)
        batch = self.model.data_preprocessor(data)
        with self.autocast:
            return self.form(
                batch['inputs'], batch['data_samples'], mode='tensor').float()

    @torch.no_grad()
    def predict(self, data: dict) -> List[FewShotDataSample]:
        """A collated batch's samples with their masks."""
        self._train(False)
        batch = self.model.data_preprocessor(data)
        with self.autocast:
            return self.form(
                batch['inputs'], batch['data_samples'], mode='predict')

    def train_step(self, data: dict) -> float:
        """One step of Adam on neck and head; the loss before it."""
        self._train(True)
        batch = self.model.data_preprocessor(data, training=True)
        self.optimizer.zero_grad()
        with self.autocast:
            loss = self.form(
                batch['inputs'], batch['data_samples'], mode='loss')['loss_ce']
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()

    def _train(self, mode: bool) -> None:
        """Set the mode where it is another: the model looks at its weights then."""
        if self.model.training != mode:
            self.model.train(mode)

    @torch.no_grad()
    def stages(self, batches: Iterator[dict], evaluator: Evaluator,
               clock: Clock) -> None:
        """One test episode, step by step, each under the clock."""
        self._train(False)
        with clock('load'):
            data = next(batches)
        with clock('preprocess'):
            batch = self.model.data_preprocessor(data)
        inputs, (sample, ) = batch['inputs'], batch['data_samples']
        supports, masks = inputs['support'][0], sample.support_masks == 1
        correlate, encode, decode = self.steps
        # as the model takes them; the textbook form always one at a time
        together = not self.textbook and masks.device.type != 'cpu'
        step = len(masks) if together else 1
        logits = []
        with self.autocast:
            for k in range(0, len(masks), step):
                with clock('backbone'):
                    if k == 0 or self.textbook:  # ours are extracted once
                        query = self.form.extract_feat(inputs['query'])
                    support = self.form.extract_feat(supports[k:k + step])
                with clock('correlation'):
                    correlations = correlate(query, support, masks[k:k + step])
                with clock('pyramid'):
                    context = encode(correlations)
                with clock('decoder'):
                    logits.append(decode(context))
            with clock('resize + vote'):
                mask = self.vote(logits, sample.gt_sem_seg.shape)
        with clock('metric'):
            sample.pred_sem_seg = PixelData(data=mask)
            evaluator.process([sample], data)

    @property
    def steps(self) -> Tuple[Callable, Callable, Callable]:
        """Correlate, encode, decode."""
        if self.textbook:
            return self.form.correlate, self.form.encode, self.form.decode
        return (self.model.neck.correlate, self.model.neck.pyramid,
                self.model.decode_head)

    def vote(self, logits: List[Tensor], size: Sequence[int]) -> Tensor:
        """The mask, ``(1, H, W)``."""
        if self.textbook:
            return self.form.vote([self.form.segment(x, size) for x in logits])
        resized = F.interpolate(
            torch.cat(logits), size, mode='bilinear', align_corners=True)
        return kshot_vote(resized.argmax(dim=1)[None])


def episodes(args: argparse.Namespace,
             shot: int,
             batch_size: int = 1) -> Iterator[dict]:
    """Collated batches without end, loaded as the config's dataloader does.

    Args:
        args (Namespace): ``config``, ``cfg_options``, ``shape``, and
            ``own_data``: the config's test data, not the bundled photos.
        shot (int): Number of supports.
        batch_size (int): Episodes in a batch. Defaults to 1.
    """
    loader = load_config(args).test_dataloader
    pipeline = loader.dataset.pipeline
    if not args.own_data:
        loader.dataset = Config.fromfile(PHOTOS).test_dataloader.dataset
        loader.dataset.pipeline = pipeline
    resize = [
        t for step in pipeline for t in step.get('transforms', [step])
        if t.type == 'ResizeFewShot'
    ]
    if not resize:
        raise ValueError(
            f'{args.config}: test_dataloader.dataset.pipeline has no '
            'ResizeFewShot, so the images cannot be brought to --shape.')
    for transform in resize:
        transform.scale = tuple(args.shape[::-1])
    loader.dataset.shot = shot
    loader.update(batch_size=batch_size, num_workers=0, persistent_workers=False)
    loader = Runner.build_dataloader(loader)
    while True:
        yield from loader
