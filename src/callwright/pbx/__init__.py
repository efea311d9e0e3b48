"""The reference PBX: registrar, routing, back-to-back user agent."""
