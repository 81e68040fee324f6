"""Events to a ledger of additive user-days."""
