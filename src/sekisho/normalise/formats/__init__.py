"""Notations that several sources share. One module per notation."""
