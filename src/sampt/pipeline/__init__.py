"""The stages, video to masks: prepare, propagate, segment, merge."""
