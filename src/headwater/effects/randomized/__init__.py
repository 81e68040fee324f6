"""Ways to compare two arms of a randomized experiment: one file is one method."""
