"""Segment one object of a clip from clicks, and write the clip with the mask drawn on it.

    python examples/segment_clip.py sampt-demo/clip.mp4 150,180 185,175 120,182 -o overlay.mp4

Clicks are X,Y on frame 0, in pixels; (0, 0) is the centre of the top-left one. `make demo` makes the clip of this line.
"""

import argparse
from pathlib import Path

import sampt
from sampt.exporters.overlay import draw_overlay
from sampt.video.writer import VideoWriter

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("video", type=Path)
parser.add_argument("clicks", nargs="+", metavar="X,Y")
parser.add_argument("-o", "--output", type=Path, default=Path("overlay.mp4"))
arguments = parser.parse_args()

video = sampt.open_video(arguments.video)
clicks = sampt.Points.of(object_id=1, frame_idx=0, xy=[[float(v) for v in click.split(",")] for click in arguments.clicks])
with VideoWriter(arguments.output, video.fps, video.size_hw) as writer:
    for result in sampt.segment_video(video, clicks):  # masks: (objects, h, w) bool
        frame = video.read(result.frame_idx, result.frame_idx + 1)[0]
        writer.write(draw_overlay(frame, result))
        print(f"frame {result.frame_idx}: {result.masks[0].sum()} pixels, score {result.scores[0]:.2f}")
print(arguments.output)
