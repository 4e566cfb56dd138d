"""Assignments: who was given which access, for which period (A3)."""
