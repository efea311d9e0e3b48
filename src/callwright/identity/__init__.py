"""Who a caller is, signed (STIR/SHAKEN): pure; octets, certificates and the time of day in, verdicts out."""
