"""Telling people and programs what happens: signed webhooks, and short messages by whatever apprise speaks."""
