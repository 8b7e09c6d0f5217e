"""Video object segmentation: region and contour, the benchmarks' protocols, scores."""
