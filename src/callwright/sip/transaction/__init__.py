"""The four transaction machines of RFC 3261 section 17: tables, and the code that obeys them."""
