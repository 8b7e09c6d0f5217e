"""Options of what is written for training: names of objects, classes, and the frames beside."""

from __future__ import annotations

import argparse

from sampt.exporters.base import IMAGE_FORMATS
from sampt.exporters.table import BUILT_IN

__all__ = ["add_image_option", "add_label_options"]

Group = argparse.ArgumentParser | argparse._ArgumentGroup


def add_label_options(group: Group) -> None:
    """Add ``--labels`` and ``--classes``."""
    group.add_argument(
        "--labels", metavar="ID=NAME,...", help="what objects are called, which is their class; or a .txt or .json file of it"
    )
    group.add_argument(
        "--classes", metavar="NAME,...", help="all classes in the order of their numbers (default: the names, by object id)"
    )


def add_image_option(group: Group) -> None:
    """Add ``--images``."""
    names = ", ".join(name for name, exporter in BUILT_IN.items() if exporter.images_at)
    group.add_argument("--images", choices=IMAGE_FORMATS, help=f"write the frames beside, in one ZIP; for: {names}")
