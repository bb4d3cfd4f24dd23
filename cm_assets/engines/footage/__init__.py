"""Footage sources."""
