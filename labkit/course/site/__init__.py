"""The course as a static site, made from an executed run."""
