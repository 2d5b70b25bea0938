"""Loggers that people use, sealed: each module stands for itself and is imported by its name."""
