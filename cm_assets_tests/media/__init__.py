"""Tests of cm_assets.media."""
