"""Saved searches: questions that are asked again, with a name and, where one was written, a description."""
