"""Tests, laid out as the package is; real parts only."""
