"""Normalizing flows of codes: layers, the fused engine that trains them, and the update."""

from labkit.flows.nets import Flow, FlowConfig, build_flow, parameter_count
from labkit.flows.training import fused, held_out, update
