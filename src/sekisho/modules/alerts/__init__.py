"""Alerts: what the detection found, until a person has judged it; and telling people about it."""
