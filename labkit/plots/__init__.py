"""Every figure of the labs, drawn and nothing else: what is drawn was computed before.

Each function returns a matplotlib `Figure` that pyplot never sees, so that nothing is left open; `Run.figure` stamps
stand-in data on it, saves it and shows it. Titles say what was found, so the caller writes them from its numbers.
"""

from labkit.plots.bar_charts import bars, cumulative
from labkit.plots.images import image_grid, image_rows, neighbours, signed_maps
from labkit.plots.latent import density, paths
from labkit.plots.line_charts import curves, panels
from labkit.plots.named import heat_map, rows_by_name
from labkit.plots.style import listed, plain_name
