"""Every published figure has its script here."""
