"""From windows of production calls to incidents: fixed thresholds, and tails that shift."""
