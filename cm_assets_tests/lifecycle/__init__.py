"""Tests of cm_assets.lifecycle."""
