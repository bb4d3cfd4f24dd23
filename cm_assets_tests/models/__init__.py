"""Tests of cm_assets.models."""
