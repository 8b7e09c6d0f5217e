"""What trackers and segmenters have in common: the table of them, their options, PyTorch and ONNX Runtime."""
