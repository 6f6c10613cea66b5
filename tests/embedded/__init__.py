"""Tests of `embedded`: real servers, real kills."""
