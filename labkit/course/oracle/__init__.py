"""How the factor oracle is made and measured: `labkit oracle train` and `labkit oracle table`."""
