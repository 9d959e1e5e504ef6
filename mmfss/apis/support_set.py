import hashlib
import json
from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from mmfss.models.backbones.feature_taps import BACKBONE_LOCK
from mmfss.models.backbones.weights import weights_checksum
from mmfss.models.layers import merge_votes, prototypes
from mmfss.safe_checkpoint import load_from_local
from mmfss.utils import replacing

from .presence import presence

# What changes no support: where weights come from, what is remembered, what comes after
_IRRELEVANT = ('init_cfg', 'pretrained', 'feature_cache', 'decode_head')
_VERSION = 1


class SupportSet:
    """Classes by name, each with its encoded supports.

    Args:
        model (FewShotSegmentor): The model that encodes and uses them.
        model_cfg (dict): Its config.
        transforms (Sequence[dict]): Config of what prepares an image.
    """

    def __init__(self, model: nn.Module, model_cfg: dict,
                 transforms: Sequence[dict]) -> None:
        self._model = model
        self._settings = hashlib.sha256(
            json.dumps([_relevant(model_cfg), _relevant(transforms)],
                       sort_keys=True, default=str).encode()).hexdigest()
        #: By class, a list of encoded groups: supports of one prepared size
        self.supports: Dict[str, List[dict]] = {}

    @property
    def classes(self) -> Tuple[str, ...]:
        """tuple[str]: Names; the first has index 1 in the masks."""
        return tuple(self.supports)

    @torch.no_grad()
    def add(self, name: str, groups: Sequence[Tuple[Tensor, Tensor]]) -> None:
        """Encode a class's supports, in place of those that it had.

        Args:
            name (str): The class.
            groups (Sequence[tuple[Tensor, Tensor]]): Supports of one size
                together: normalised images ``(K, 3, H, W)``, masks, bool,
                ``(K, H, W)``.
        """
        encoded = []
        for images, masks in groups:
            features = self._model.extract_feat(images)
            encoded.append(
                dict(
                    encoded=self._model.encode_support(features, masks),
                    prototypes=prototypes(features[0][-1], masks)))
        self.supports[name] = encoded  # not before all went well

    @torch.no_grad()
    def segment(self, query: Tensor,
                score_thr: float) -> Tuple[Dict[str, Tensor], Dict[str, float]]:
        """What the supports of each class say about a query.

        Args:
            query (Tensor): Normalised image, ``(1, 3, H, W)``.
            score_thr (float): A support finds the object where the softmax of
                foreground is above it.

        Returns:
            tuple: By class, logits ``(K, 2, h, w)``, float32, and presence.
        """
        features = self._model.extract_feat(query)
        encoded = self._model.encode_query(features)
        logits, found = {}, {}
        for name, groups in self.supports.items():
            logits[name] = torch.cat([
                self._model.decode(encoded, group['encoded']) for group in groups
            ], dim=1)[0].float()
            votes = (logits[name].softmax(dim=1)[:, 1] > score_thr).sum(dim=0)
            found[name] = presence(
                prototypes(features[0][-1], merge_votes(votes[None])),
                torch.cat([group['prototypes'] for group in groups]))
        return logits, found

    def save(self, path: str) -> None:
        """Write everything to one file, whole or not at all.

        Args:
            path (str): The file.
        """
        content = dict(
            mmfss_support=_VERSION,
            settings=self._settings,
            weights_sha256=self._weights_checksum(),
            supports=self.supports)
        with replacing(path) as temporary:
            torch.save(content, temporary)

    def load(self, path: str, device: torch.device) -> None:
        """Replace everything by a file's content; no code of it can run.

        Args:
            path (str): Of :meth:`save`.
            device (torch.device): Where the supports belong.

        Raises:
            FileNotFoundError: There is no such file.
            RuntimeError: The file is damaged or holds objects that could run
                code.
            ValueError: It is something else, or of another model.
        """
        content = load_from_local(path, map_location=device)
        if not isinstance(content, dict) or content.get(
                'mmfss_support') != _VERSION:
            raise ValueError(
                f'{path} is no support file of this version of mmfss: make it '
                'with save_support().')
        weights = self._weights_checksum()
        for what, same in (
            ('weights', torch.equal(content['weights_sha256'].cpu(), weights)),
            ('model config or image size',
             content['settings'] == self._settings)):
            if not same:
                raise ValueError(
                    f'{path} was made with other {what} than this inferencer '
                    'has. Use those, or call fit() again with the annotated '
                    'images.')
        self.supports = content['supports']

    def _weights_checksum(self) -> Tensor:
        with BACKBONE_LOCK:  # else perhaps of those that another thread folded
            return weights_checksum(self._model.state_dict())


def _relevant(cfg: Any) -> Any:
    if isinstance(cfg, dict):
        return {k: _relevant(v) for k, v in cfg.items() if k not in _IRRELEVANT}
    if isinstance(cfg, (list, tuple)):
        return [_relevant(v) for v in cfg]
    return cfg
