"""Recorded runs and windows through a proposed configuration: the messages that live would have sent."""
