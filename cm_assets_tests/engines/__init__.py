"""Tests of cm_assets.engines."""
