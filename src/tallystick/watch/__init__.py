"""Verification that never stops: logs are verified all day, and changes are reported within seconds.

A *follower* looks at one entry of the configuration whenever something moved or time says so. The look's result becomes
a *standing*: a state with its reasons. A change of the standing becomes an *event*, which the *alerts* deliver. Metrics
and the web page show standings; nothing but a look changes one.
"""
