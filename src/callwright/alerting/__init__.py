"""When to raise an alarm, and when it is over: conditions, the machine that watches, and causes. Pure."""
