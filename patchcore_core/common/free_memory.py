"""Whether there is room for what is about to be computed."""

import psutil
import torch

from patchcore_core.common.errors import InputError


def check_free(needed: float, what: str, *, device: torch.device | str = "cpu", remedy: str) -> None:
    """Refuse to begin what cannot fit into memory.

    Args:
        needed: bytes.
        what: that needs them, as the subject of the message.
        device: whose memory it is.
        remedy: the options that need less.

    Raises:
        InputError: more than is free; the message says how much each is.
    """
    device = torch.device(device)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"{what} need {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free on {device}",
            remedy=remedy,
        )
