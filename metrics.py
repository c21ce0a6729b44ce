"""The counters that actors keep for Prometheus. What is better read than counted is collected in node.py."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

CALLS = Counter("teledom_calls", "Calls that have ended, by outcome", ["outcome"])
RING_SECONDS = Histogram(
    "teledom_ring_seconds", "From the button to the answer", buckets=(1, 2, 3, 5, 8, 13, 20, 30, 60)
)
TALK_SECONDS = Histogram(
    "teledom_talk_seconds", "From the answer to the end", buckets=(2, 5, 10, 20, 40, 60, 120, 300)
)
EVENTS = Counter("teledom_ari_events", "Events that nobody was there for", ["what"])
