"""Tests of skbert."""
