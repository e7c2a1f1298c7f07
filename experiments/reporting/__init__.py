"""Verdicts, evidence and pages of a report; knows no study."""
