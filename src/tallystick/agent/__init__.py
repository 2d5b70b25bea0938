"""The agent: a writer of its own that takes lines by sockets and seals them (spec/agent.md).

The keys are in its process alone: an application that is taken over can add lines, and nothing else.

>>> from tallystick.agent.address import Address
>>> Address.parse("syslog+unixgram:/dev/log").kind
'unixgram'
"""
