"""Frames of videos, and of the mask stacks that come with them.

OpenCV is imported where a video is opened: a layout that knows of videos is listed without it.
"""

import threading
from pathlib import Path

import numpy as np

from patchcore_core.common.errors import InputError

VIDEO_SUFFIXES = (".avi", ".mp4")

_open = threading.local()  # the video that a thread is reading: .path, .capture, .next


def frame_count(path: Path) -> int:
    """How many frames a video says it has; 0 if it cannot be read."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return max(count, 0)


def read_frame(path: Path, index: int) -> np.ndarray:
    """Decode one frame of a video; fast when the frames of a video are asked for in ascending order.

    Returns:
        (h, w, 3) uint8, red first.

    Raises:
        InputError: the video cannot be read, or ends before this frame.
    """
    import cv2

    if getattr(_open, "path", None) != path or _open.next > index:
        _open.path, _open.capture, _open.next = path, cv2.VideoCapture(str(path)), 0
    while _open.next <= index:  # seeking is not exact with every codec; grabbing is
        if not _open.capture.grab():
            break
        _open.next += 1
    decoded, frame = _open.capture.retrieve() if _open.next > index else (False, None)
    if not decoded:
        _open.path = None
        raise InputError(f"unreadable video: {path}: frame {index} cannot be decoded", remedy="fetch it again")
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def open_stack(path: Path, ndim: int) -> np.ndarray:
    """Map a .npy file of whole numbers with `ndim` axes into memory; the first one counts frames.

    Raises:
        InputError: the file is missing, damaged, of another shape or type, or pickled (which is never read).
    """
    try:
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python, and what that raises is not defined
        raise InputError(f"unreadable mask: {path}: {error}", remedy="fetch the file again") from None
    if stack.ndim != ndim or stack.dtype.kind not in "bui":
        raise InputError(f"unsuitable mask: {path}: {stack.dtype} of shape {stack.shape}, not {ndim} axes of integers")
    return stack
