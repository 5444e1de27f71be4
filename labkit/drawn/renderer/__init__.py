"""From factors to pixels, in torch operations alone."""

from labkit.drawn.renderer.render import render
