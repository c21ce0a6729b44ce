"""The bed of tests/real, for the tests of the testbed's own configuration."""

from __future__ import annotations

from tests.real.conftest import bed, own_bed, tree

__all__ = ["bed", "own_bed", "tree"]
