"""An app of somebody else: it knows the Tasks API, and nothing of this project."""
