"""Everything that reaches a person: e-mail, in-app notices, preferences, the delivery log."""
