"""Where code of a stranger runs."""
