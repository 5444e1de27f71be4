"""What was handed in: found, repaired, prepared; nothing is executed."""
