"""The audit: what a period came to beside the one before and the baseline, gathered, judged, and told each night."""
