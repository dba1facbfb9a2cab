"""Each port's conformance suite: subclass it in a test module of your own. Built-ins run the same ones.

Nothing is imported here: a suite needs pytest, and only whoever subclasses it has to have that.
"""
