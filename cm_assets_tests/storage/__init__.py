"""Tests of cm_assets.storage."""
