"""Reading and writing of video."""

from sampt.video.base import CachedVideo, ResizedVideo, SubVideo, Video
from sampt.video.open import open_video

__all__ = ["CachedVideo", "ResizedVideo", "SubVideo", "Video", "open_video"]
