"""What the sources promise, checked in one pass; rows that break a rule go to quarantine, none is lost."""
