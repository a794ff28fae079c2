"""Renders documents as PDF and keeps them."""
