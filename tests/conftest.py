"""Lets the tests below import the kit: this folder becomes part of the path."""
