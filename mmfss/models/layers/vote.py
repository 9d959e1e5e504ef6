from torch import Tensor


def kshot_vote(masks: Tensor) -> Tensor:
    """Merge the masks that each of K supports predicts, as published.

    The votes per pixel are divided by the largest vote in that image (at least
    1); a pixel with a half or more is foreground.

    Args:
        masks (Tensor): 0 or 1, ``(B, K, H, W)``, integer or bool.

    Returns:
        Tensor: int64, ``(B, H, W)``.
    """
    votes = masks.sum(dim=1)
    most = votes.amax(dim=(1, 2), keepdim=True).clamp(min=1)
    return (2 * votes >= most).long()
