import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmfss.registry import MODELS


@MODELS.register_module()
class HSNetHead(BaseModule):
    """The 2-D context decoder (HSNet, section 4.3) and its loss.

    Args:
        in_channels (int): Channels of the context. Defaults to 128.
        channels (int): Channels of the last layers. Defaults to 64.
        loss_decode (dict): Config of the loss. Defaults to cross-entropy, the
            mean over all pixels.
        foreground_bias (float): Added to the foreground's logit, but not in
            training. A briefly trained model is unsure, and where unsure
            cross-entropy wants less foreground than IoU does: a positive bias
            gives more. Choose it on training classes. Defaults to 0, as published.
    """

    def __init__(
        self,
        in_channels: int = 128,
        channels: int = 64,
        loss_decode: dict = dict(
            type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
        foreground_bias: float = 0.
    ) -> None:
        super().__init__()
        self.foreground_bias = foreground_bias
        self.before = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.ReLU(inplace=True))
        self.after = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(channels, 2, 3, padding=1))
        self.loss_decode = MODELS.build(loss_decode)

    def forward(self, context: Tensor) -> Tensor:
        """Decode.

        Args:
            context (Tensor): ``(N, in_channels, h, w)``.

        Returns:
            Tensor: Logits of background and foreground, ``(N, 2, 2h, 2w)``.
        """
        x = self.before(context)
        size = [2 * side for side in x.shape[-2:]]
        logits = self.after(
            F.interpolate(x, size, mode='bilinear', align_corners=True))
        if self.foreground_bias and not self.training:
            logits = logits + logits.new_tensor([[[0]], [[self.foreground_bias]]])
        return logits

    def loss(self, logits: Tensor, foreground: Tensor) -> dict:
        """Compare logits with the query's mask.

        Args:
            logits (Tensor): ``(N, 2, h, w)``, resized to the mask bilinearly, in
                float32 also under autocast.
            foreground (Tensor): bool, ``(N, H, W)``.

        Returns:
            dict[str, Tensor]: ``loss_ce``, a scalar.
        """
        logits = F.interpolate(
            logits.float(),
            foreground.shape[-2:],
            mode='bilinear',
            align_corners=True)
        return dict(loss_ce=self.loss_decode(logits, foreground.long()))
