"""Tests of the service that watches."""
