"""Companies, the people who work in them, and how a company writes dates and money."""
