"""The version, alone: what notes it in results and what builds the package read it without the rest."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
