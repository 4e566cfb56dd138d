"""People, their accounts and devices, and the networks of the organisation."""
