"""Normalizing flows of codes: layers, the fused engine that trains them, and the update."""

from labkit.flows.nets import Flow, FlowConfig, build_flow, parameter_count
from labkit.flows.training import fused, held_out, update

__all__ = ["Flow", "FlowConfig", "build_flow", "fused", "held_out", "parameter_count", "update"]
