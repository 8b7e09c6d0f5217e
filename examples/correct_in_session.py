"""Correct a mask in the middle of a video, as the page of `sampt ui` does; everything is kept in a project folder.

    python examples/correct_in_session.py sampt-demo/clip.mp4 clip.sampt --click 0,150,180 --correct 20,190,175

--click and --correct are FRAME,X,Y. A correction may be negative: FRAME,X,Y,- takes that part off the mask.
`sampt ui --project clip.sampt` goes on with the project.
"""

import argparse
from pathlib import Path

import sampt


def parse_click(text: str) -> tuple[int, tuple[float, float], bool]:
    frame, x, y, *sign = text.split(",")
    return int(frame), (float(x), float(y)), sign != ["-"]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("video", type=Path)
parser.add_argument("project", type=Path, help="a new folder whose name ends in .sampt")
parser.add_argument("--click", type=parse_click, required=True)
parser.add_argument("--correct", type=parse_click, required=True)
arguments = parser.parse_args()

with sampt.Session.create(arguments.video, arguments.project) as session:
    thing = session.add_object("thing").object_id
    session.add_point(thing, *arguments.click)
    done = sum(1 for _ in session.propagate())  # frame by frame, and may be stopped at any
    print(f"propagated {done} frames")

    frame_idx = arguments.correct[0]
    before = session.results(frame_idx)[thing].mask(session.size_hw)
    session.add_point(thing, *arguments.correct)  # the frame becomes a keyframe
    after = session.preview(frame_idx)[thing].mask(session.size_hw)
    print(f"frame {frame_idx}: {before.sum()} pixels before the correction, {after.sum()} after")
    print(f"out of date now: {session.stale()[thing]}")

    done = sum(1 for _ in session.propagate())  # only the frames that the correction reaches
    print(f"propagated {done} frames again")
    session.undo()  # a step back: the correction is gone, and results that fit what is left are good again
    session.redo()
    print(session.coverage())
