"""The two studies: what they trained, what they claimed, what came out."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
REFERENCE = Path(__file__).parent / "reference"
