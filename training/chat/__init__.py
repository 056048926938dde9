"""Chats as training data: lines of JSON, rendered by a template, learned where the assistant speaks."""
