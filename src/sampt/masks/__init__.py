"""From a segmenter's logits to the masks of a frame."""
