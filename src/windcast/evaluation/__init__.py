"""Evaluation: how good a forecast was, how well it knew its uncertainty, and whether a difference is real."""
