"""Tests of cm_assets.orchestration."""
