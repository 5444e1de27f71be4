"""How a trusted check calls functions that live in the sandbox."""
