"""The ledger as known at a cutoff: features before it, targets after it."""
