"""A small result with known masks, and points of every kind."""

from tests.results import kit as kit
from tests.results import video as video
