"""Clients, the documents that expire, the filings that fall due, and the scores they add up to."""
