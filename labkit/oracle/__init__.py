"""The factor oracle: a small net that reads the factors of a drawn face. It is made in `labkit.course.oracle`."""

from labkit.oracle.oracle import READABLE, FactorOracle, Reading, as_floats, blur, load_oracle, network_input
