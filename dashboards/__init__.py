"""What a person sees: pages, the JSON API, and the Grafana files. Nothing here imports ``monitor``."""
