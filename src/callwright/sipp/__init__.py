"""Scenarios of SIPp, run as they are: the XML read into steps, and a machine that plays them with many calls.

A scenario says each message of a call itself. So nothing here knows of dialogs or transactions: the machine
sends the texts, waits for what the scenario awaits, and repeats over UDP until something comes. What is said
here follows SIPp's reference (https://sipp.readthedocs.io), and its behaviour where that is silent.
"""
