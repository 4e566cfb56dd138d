"""Decoys: dummy credentials planted on PCs, so that any use of them tells of a thief (A9)."""
