"""Contacts of users, their own and those that all share."""
