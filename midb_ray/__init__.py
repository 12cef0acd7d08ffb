"""Repair multilingual instruction data at scale: train a booster on expert revisions, boost whole corpora with it."""

__version__ = "0.1.0"
