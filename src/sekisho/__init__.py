"""Sekisho (関所): the checkpoint through which every log line of a crypto-asset business passes."""

__version__ = "0.1.0"
